"""Which CI system this is, and what it is told: outputs, summaries, annotations, groups.

Nothing heavy is imported: the command line uses it. Commands go to standard error, so that standard
output stays what a program reads. Both systems take commands from either stream (actions/runner,
`ScriptHandler.cs`; azure-pipelines-agent, `NodeHandler.cs`; the tasks Bash and CmdLine send a
script's standard error to their standard output).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol

from deploy.errors import Problem
from deploy.job.problems import Level


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
        from deploy.job.github import GitHub

        return GitHub(os.environ)
    if os.environ.get("TF_BUILD", "").lower() == "true":
        from deploy.job.azure_pipelines import AzurePipelines

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
