"""The commands that pages name, and which test runs each of them.

A command is known by its task and its flags. A test that runs a task with these flags, or with
more, has run it.
"""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from invoke.parser import Parser
from invoke.parser.context import ParserContext
from invoke.program import Program

import tasks
from deploy.docs_site import staging
from deploy.sandbox import demo
from tests import markdown_pages

ROOT = Path(__file__).parents[1]
# It tells of what was, also of commands that are gone.
HISTORY = "CHANGELOG.md"
SHELLS = ("console", "sh", "bash")
# What a reader replaces, or fills in.
OPEN_ENDED = ("…", "...")


@dataclass(frozen=True)
class Command:
    """A command line behind `inv`, and where it stands; a mention is within a line of prose."""

    words: tuple[str, ...]
    where: str
    mention: bool

    def __str__(self) -> str:
        return f"{self.where}: inv {shlex.join(self.words)}"


@dataclass(frozen=True)
class Call:
    """A task by its name, and the flags that it is given."""

    task: str
    flags: frozenset[str]

    def runs(self, other: Call) -> bool:
        """Whether running this has run `other`."""
        return self.task == other.task and self.flags >= other.flags

    def __str__(self) -> str:
        return " ".join([self.task, *(f"--{flag}" for flag in sorted(self.flags))])


def pages() -> list[Path]:
    """Return every page, of the site or not, that tells what holds now."""
    names = {"README.md", *staging.list_pages(ROOT)} - {HISTORY}
    return [ROOT / name for name in sorted(names) if name.endswith(".md")]


def commands() -> Iterator[Command]:
    """Yield every command that a page names."""
    for path in pages():
        page, name = path.read_text("utf-8"), path.relative_to(ROOT).as_posix()
        for block in markdown_pages.find_blocks(page):
            if block.language in SHELLS:
                for number, line in enumerate(block.text.split("\n"), block.line):
                    yield from _of(line.removeprefix("$ "), f"{name}:{number}", mention=False)
        for span in markdown_pages.find_code_spans(page):
            yield from _of(span.text, f"{name}:{span.line}", mention=True)


def _of(line: str, where: str, mention: bool) -> Iterator[Command]:
    for part in line.split(" && "):
        # What a shell does with the output is none of a command's words.
        found = re.match(r"(?:[A-Z_]+=\S+ +)*(?:\.venv/bin/)?inv +(?P<rest>[^>|]+)", part)
        if found:
            kept = tuple(_kept(shlex.split(found["rest"], comments=True)))
            if kept and kept[0] not in tasks.namespace.collections:
                yield Command(kept, where, mention)


def _kept(words: list[str]) -> Iterator[str]:
    """Yield what is meant as it stands, and what a reader fills in behind a flag."""
    for before, word in zip(["", *words], words, strict=False):
        if word not in OPEN_ENDED or before.startswith("--"):
            yield word


def calls(words: tuple[str, ...]) -> list[Call]:
    """Return the tasks that a command line runs, as invoke itself reads it.

    Raises invoke's `ParseError`.
    """
    return [
        Call(
            str(context.name),
            frozenset(str(arg.name) for arg in context.args.values() if arg.raw_value is not None),
        )
        for context in _parser().parse_argv(list(words))
        if context.name
    ]


@cache
def _parser() -> Parser:
    program = Program(namespace=tasks.namespace)
    core = ParserContext(args=[*program.core_args(), *program.task_args()])
    return Parser(initial=core, contexts=copy.deepcopy(tasks.namespace).to_contexts())


@dataclass(frozen=True)
class Step:
    """A command as a page has it, without `inv`, and the status that it ends with."""

    line: str
    status: int = 0


# In this order, by tests/integration/test_documented.py: in a copy of this repository, against an
# emulated registry of Azure and a real engine.
STEPS = (
    Step("flows"),
    Step("doctor"),
    Step("advise --flow faq"),
    Step("advise --flow faq --clients users --network private --adr"),
    Step(
        "advise --flow chat --longest 90 --streaming yes --clients users --network private "
        "--team web --idle yes"
    ),
    Step(
        "advise --flow triage --longest 5 --peak 50 --body 4 --clients services --team ml "
        "--rollout percent --zones yes"
    ),
    Step(
        "advise --flow chat --longest 400 --streaming yes --peak 80 --body 40 --clients key "
        "--domain yes"
    ),
    # This copy is no clone: every flow.
    Step("ci.matrix --since main"),
    Step("config --flow faq --env local"),
    Step("build --flow faq"),
    Step("build --flow faq --dry-run"),
    Step("build --flow faq --context context"),
    Step("ci.try --flow faq"),
    Step("push --env dev --flow faq"),
    Step("inspect --env dev --flow faq"),
    Step("deploy --env dev --flow faq --no-wait"),
    Step("deploy --image .artifacts/faq.json --env dev"),
    Step("promote --from dev --to prod --flow faq"),
    Step("promote --from dev --to prod --image .artifacts/faq.json"),
    Step("plan --env dev --flow faq --json"),
    Step("status --env dev --flow faq --json"),
    Step("drift --env dev --flow faq --json"),
    Step("destroy --env dev --flow faq"),
)

# By other tests, which type them.
ELSEWHERE = {
    "evaluate --flow triage": "tests/integration/test_evaluate_failures.py",
    "import.llmops --from theirs": "tests/unit/importers/test_llmops.py",
    "import.llmops --from theirs --use-case one --dry-run": "tests/unit/importers/test_llmops.py",
    "docs": "tests/unit/docs/test_site.py",
    "docs --write": "tests/unit/docs/test_site.py",
    "schema": "tests/unit/docs/test_site.py",
    "infra.plan --env prod": "tests/unit/infra/test_commands.py",
    "infra.apply --env prod": "tests/unit/infra/test_commands.py",
    "infra.outputs --env prod": "tests/unit/infra/test_commands.py",
    "infra.destroy --env prod": "tests/unit/infra/test_commands.py",
    "infra.request --env prod --format docx": "tests/unit/infra/test_commands.py",
}

# By none, and why.
NOT_RUN = {
    "base --refresh": "fetches the base anew, for everything else on this engine, too",
    "bench --only load,stop --flow llm --repeat 1 --seconds 5 --again --chart x --traced": "minutes; tests/benchmarks has a smaller one",
    "check": "is the first part of `inv test`",
    "infra.check --env prod": "asks Azure of everything; tests/unit/infra/test_comparison.py answers in its place",
    "docs --serve": "does not end by itself",
    "docs --mermaid x": "needs a file that is not here",
    "lock --flow faq": "asks a package index; tests/integration/test_lock_files.py locks what is small",
    "logs --env prod --flow faq --follow": "does not end by itself; tests/integration/test_target_contract.py follows a log",
    "sandbox --env prod --shell": "is for a person",
    "setup": "installs programs; `make demo` and `make test` begin with it",
    "test --all": "runs this test, for an hour",
    "test --flow faq": "tests/integration/test_workflows.py runs it as a job of a pull request",
    "test --flows": "is a part of `inv test`",
    "test --since main": "would run this test; tests/unit/cli/test_test_task.py has what it runs",
    "test --unit -k x": "would run this test",
}


def run() -> list[Call]:
    """Return what tests run."""
    lines = [
        *(step.line for step in STEPS),
        *(" ".join((*step.task, "--env", "dev", "--flow", "faq")) for step in demo.STEPS),
        # Both of it, and what `inv sandbox` does, are run by tests/integration/test_sandbox.py.
        "sandbox --env dev --flow faq",
        *ELSEWHERE,
    ]
    return [call for line in lines for call in calls(tuple(shlex.split(line)))]


def not_run() -> dict[Call, str]:
    """Return what no test runs, with the reason."""
    return {calls(tuple(shlex.split(line)))[0]: reason for line, reason in NOT_RUN.items()}
