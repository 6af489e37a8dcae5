"""docs/reference/tasks.md: every task and flag, as the command line itself knows them."""

from __future__ import annotations

import copy
from pathlib import Path

from invoke.collection import Collection
from invoke.parser.argument import Argument
from invoke.tasks import Task

PAGE = "docs/reference/tasks.md"
HEAD = """# Tasks

Every command and its flags, as `inv --list` and `inv --help ‹task›` have them.
`inv docs --write` writes this page anew.

Without `--flow`, a command is for every flow that the environment has. With `--json` results go to
standard output as JSON, and progress to standard error. What a status means is in
[errors](errors.md#statuses-of-commands).
"""


def write(tasks: Collection, root: Path) -> Path:
    """Write the page, and return its path."""
    path = root / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(tasks), "utf-8")
    return path


def page(tasks: Collection) -> str:
    """Return the page: the tasks as a list, then each with its flags."""
    # invoke takes a flag's help away from its task when it is asked for the first time.
    tasks = copy.deepcopy(tasks)
    names = sorted(tasks.task_names, key=lambda name: ("." in name, name))
    rows = [f"| [`inv {name}`](#{_anchor(name)}) | {_first(tasks[name])} |" for name in names]
    parts = [HEAD, "\n".join(["| task | what it does |", "|---|---|", *rows]) + "\n"]
    return "\n".join([*parts, *(_section(name, tasks[name]) for name in names)])


def _section(name: str, task: Task) -> str:  # type: ignore[type-arg]
    text = f"## inv {name}\n\n{task.__doc__}\n"
    rows = [_row(argument) for argument in task.get_arguments()]
    if not rows:
        return text
    return text + "\n" + "\n".join(["| flag | meaning | default |", "|---|---|---|", *rows]) + "\n"


def _row(argument: Argument) -> str:
    flags = ", ".join(f"`{'--' if len(name) > 1 else '-'}{name}`" for name in argument.names)
    if argument.positional:
        default = "needed"
    else:
        plain = argument.default in (None, "", False)
        default = "" if plain else f"`{argument.default}`"
    return f"| {flags} | {(argument.help or '').replace('|', chr(92) + '|')} | {default} |"


def _first(task: Task) -> str:  # type: ignore[type-arg]
    return (task.__doc__ or "").strip().partition("\n")[0]


def _anchor(name: str) -> str:
    return f"inv-{name.replace('.', '')}"
