"""Generate docs/reference/tasks.md, with every task and flag, from the tasks themselves."""

from __future__ import annotations

import copy
from pathlib import Path

from invoke.collection import Collection
from invoke.parser.argument import Argument
from invoke.tasks import Task

PAGE = "docs/reference/tasks.md"
INTRODUCTION = """# Tasks

Every command and its flags, as `inv --list` and `inv --help ‹task›` have them.
`inv docs --write` writes this page anew.

Without `--flow`, a command is for every flow that the environment has. With `--json` results go to
standard output as JSON, and progress to standard error. What a status means is in
[errors](errors.md#statuses-of-commands).
"""


def write_page(tasks: Collection, root: Path) -> Path:
    """Write the page; return its path."""
    path = root / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(format_page(tasks), "utf-8")
    return path


def format_page(tasks: Collection) -> str:
    """Return the page: a table of the tasks, then each task with its flags."""
    # A copy, as invoke removes the help of a flag from its task when it is read.
    tasks = copy.deepcopy(tasks)
    names = sorted(tasks.task_names, key=lambda name: ("." in name, name))
    rows = [
        f"| [`inv {name}`](#{_format_anchor(name)}) | {_get_first_line(tasks[name])} |"
        for name in names
    ]
    parts = [INTRODUCTION, "\n".join(["| task | what it does |", "|---|---|", *rows]) + "\n"]
    return "\n".join([*parts, *(_format_section(name, tasks[name]) for name in names)])


def _format_section(name: str, task: Task) -> str:  # type: ignore[type-arg]
    text = f"## inv {name}\n\n{task.__doc__}\n"
    rows = [_format_row(argument) for argument in task.get_arguments()]
    if not rows:
        return text
    return text + "\n" + "\n".join(["| flag | meaning | default |", "|---|---|---|", *rows]) + "\n"


def _format_row(argument: Argument) -> str:
    flags = ", ".join(f"`{'--' if len(name) > 1 else '-'}{name}`" for name in argument.names)
    if argument.positional:
        default = "needed"
    else:
        plain = argument.default in (None, "", False)
        default = "" if plain else f"`{argument.default}`"
    return f"| {flags} | {(argument.help or '').replace('|', chr(92) + '|')} | {default} |"


def _get_first_line(task: Task) -> str:  # type: ignore[type-arg]
    return (task.__doc__ or "").strip().partition("\n")[0]


def _format_anchor(name: str) -> str:
    return f"inv-{name.replace('.', '')}"
