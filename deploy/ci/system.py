"""Which CI system this is, and what it is told: outputs, summaries, annotations, groups.

Nothing heavy is imported: the command line uses it. Commands go to standard error, so that standard
output stays what a program reads. Both systems take commands from either stream (actions/runner,
`ScriptHandler.cs`; azure-pipelines-agent, `NodeHandler.cs`; the tasks Bash and CmdLine send a
script's standard error to their standard output).
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from deploy.errors import Problem

ROOT = Path(__file__).parents[2]
Level = Literal["error", "warning"]
# `flows/faq/deploy.yaml:12: sample`, as `Problem.where` says it.
_PLACE = re.compile(r"(?P<file>[^:]+)(?::(?P<line>\d+))?(?::|$)")


@dataclass(frozen=True)
class Place:
    """A file, relative to the checkout's root, and the line in it, where there is one."""

    file: str
    line: int | None


class System(Protocol):
    """What a CI system can be told by a process of one of its jobs."""

    def output(self, name: str, value: str) -> None:
        """Hand `value` to later steps and jobs."""

    def summary(self, sections: Sequence[str]) -> None:
        """Add to what the page of the run shows, one after the other."""

    def annotate(self, level: Level, problem: Problem) -> None:
        """Show a problem on the page of the run, and beside its line where it has one."""

    def begin(self, title: str) -> str:
        """Return the line that begins a group of lines of the log."""

    def end(self) -> str:
        """Return the line that ends it."""

    def inert(self, text: str) -> str:
        """Return `text` of others so that no line of it is taken for a command."""


class NoSystem:
    """A person's terminal, or a CI system that is told nothing."""

    def output(self, name: str, value: str) -> None:
        """Do nothing."""

    def summary(self, sections: Sequence[str]) -> None:
        """Do nothing."""

    def annotate(self, level: Level, problem: Problem) -> None:
        """Do nothing."""

    def begin(self, title: str) -> str:
        """Return nothing."""
        return ""

    def end(self) -> str:
        """Return nothing."""
        return ""

    def inert(self, text: str) -> str:
        """Return `text` as it is."""
        return text


def current() -> System:
    """Return the system that this process runs in.

    GITHUB_ACTIONS is always true there (GitHub Docs, "Variables reference"), TF_BUILD in Azure
    Pipelines (Microsoft Learn, "Use predefined variables").
    """
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from deploy.ci.github import GitHub

        return GitHub(os.environ)
    if os.environ.get("TF_BUILD", "").lower() == "true":
        from deploy.ci.azure_pipelines import AzurePipelines

        return AzurePipelines(os.environ)
    return NoSystem()


def output(name: str, value: str) -> None:
    """Hand `value` to later steps and jobs under `name`; it may have several lines."""
    current().output(name, value)


def summary(*sections: str) -> None:
    """Add Markdown to what the page of the run shows; where it cannot be written, say so."""
    try:
        current().summary(sections)
    except OSError as error:
        # Nothing that was done depends on it.
        print(f"summary   not written: {error}", file=sys.stderr, flush=True)


def annotate(level: Level, problem: Problem) -> None:
    """Show `problem` on the page of the run, and in its file where `where` begins with one."""
    current().annotate(level, problem)


def inert(text: str) -> str:
    """Return `text` of others so that the CI system takes no command from it."""
    return current().inert(text)


@contextlib.contextmanager
def group(title: str) -> Iterator[None]:
    """Fold what is printed inside of the block under `title`, where the system can.

    The two lines go to standard output: a group is of what is printed there.
    """
    system = current()
    if begin := system.begin(title):
        print(begin, flush=True)
    try:
        yield
    finally:
        if end := system.end():
            print(end, flush=True)


def place(where: str, checkout: str | None) -> Place | None:
    """Return the file that `where` begins with; None where that is no file of this repository.

    `checkout` is the root of the system's checkout, which this repository may be a folder of.
    """
    found = _PLACE.match(where)
    if not found or not _is_file(ROOT / found["file"]):
        return None
    # Resolved: a runner's folder may be behind a link.
    path, root = (ROOT / found["file"]).resolve(), Path(checkout or ROOT).resolve()
    if not path.is_relative_to(ROOT.resolve()):
        return None
    file = path.relative_to(root) if path.is_relative_to(root) else Path(found["file"])
    return Place(file.as_posix(), int(found["line"]) if found["line"] else None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # What is no path at all: it is too long.
        return False
