"""The CI system that runs this process: outputs, summaries, annotations and log groups.

Outside of CI these functions do nothing. Commands to the CI system go to standard error, so that
programs can read standard output. Both supported systems accept commands on either stream
(actions/runner, `ScriptHandler.cs`; azure-pipelines-agent, `NodeHandler.cs`; the tasks Bash and
CmdLine send a script's standard error to their standard output).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from deploy.core.errors import Problem

Level = Literal["error", "warning"]


class CiSystem(Protocol):
    """The reports that a job can send to its CI system."""

    def output(self, name: str, value: str) -> None:
        """Pass `value` to later steps and jobs."""

    def summary(self, sections: Sequence[str]) -> None:
        """Append sections of Markdown to the summary page of the run."""

    def annotate(self, level: Level, problem: Problem) -> None:
        """Report a problem on the summary page and, if it has a file and line, in that file."""

    def begin(self, title: str) -> str:
        """Return the line that begins a log group."""

    def end(self) -> str:
        """Return the line that ends a log group."""

    def escape_commands(self, text: str) -> str:
        """Return `text` without lines that the CI system would run as commands."""


class NoCiSystem:
    """A terminal, or a CI system without commands."""

    def output(self, name: str, value: str) -> None:
        """Do nothing."""

    def summary(self, sections: Sequence[str]) -> None:
        """Do nothing."""

    def annotate(self, level: Level, problem: Problem) -> None:
        """Do nothing."""

    def begin(self, title: str) -> str:
        """Return an empty string."""
        return ""

    def end(self) -> str:
        """Return an empty string."""
        return ""

    def escape_commands(self, text: str) -> str:
        """Return `text` unchanged."""
        return text


_ci_system: CiSystem = NoCiSystem()


def set_ci_system(system: CiSystem) -> None:
    """Send all later reports to `system`."""
    global _ci_system
    _ci_system = system


def set_output(name: str, value: str) -> None:
    """Pass `value`, which may have several lines, to later steps and jobs under `name`."""
    _ci_system.output(name, value)


def append_summary(*sections: str) -> None:
    """Append Markdown to the summary page of the run; report a failure on standard error."""
    try:
        _ci_system.summary(sections)
    except OSError as error:
        # The task itself does not depend on the summary.
        print(f"summary   not written: {error}", file=sys.stderr, flush=True)


def annotate(level: Level, problem: Problem) -> None:
    """Report `problem` on the summary page, and in its file if `where` begins with one."""
    _ci_system.annotate(level, problem)


def escape_commands(text: str) -> str:
    """Return `text` without anything that the CI system would run as a command."""
    return _ci_system.escape_commands(text)


@contextlib.contextmanager
def group(title: str) -> Iterator[None]:
    """Fold the output of the block under `title`, if the CI system can.

    The two marker lines go to standard output, because they group what is printed there.
    """
    if begin := _ci_system.begin(title):
        print(begin, flush=True)
    try:
        yield
    finally:
        if end := _ci_system.end():
            print(end, flush=True)
