"""The exception that users see, as readable messages with a place and a hint."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One problem."""

    # Where the problem is: file and line, or a service.
    where: str
    # What is wrong.
    what: str
    # What the user can do next.
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        return f"{text}\n  → {self.hint}" if self.hint else text


class DeployError(Exception):
    """One or more problems that stop a task. Running deployments keep running."""

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        self.problems: tuple[Problem, ...] = (Problem(where, what, hint),)
        super().__init__(str(self))

    @classmethod
    def from_problems(cls, problems: list[Problem]) -> DeployError:
        """Return one error that lists all `problems`, of which there is at least one."""
        first = problems[0]
        error = cls(first.where, first.what, first.hint)
        error.problems = tuple(problems)
        return error

    def with_lines(self, lines: Iterable[str]) -> DeployError:
        """Return this error extended by the last output lines, if there are any."""
        text, first = "\n".join(lines).strip(), self.problems[0]
        message = f"{first.what}\n  its last lines:\n{text}" if text else first.what
        extended = Problem(first.where, message, first.hint)
        return DeployError.from_problems([extended, *self.problems[1:]])

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class PlanBlocked(DeployError):
    """The observed state rules out a plan. Nothing failed, and a retry gives the same result."""


@contextlib.contextmanager
def collect_problems(problems: list[Problem]) -> Iterator[None]:
    """Add the problems of a `DeployError` to `problems`; continue after the block."""
    try:
        yield
    except DeployError as error:
        problems += error.problems


def quote_last_lines(lines: Iterable[str], count: int) -> str:
    """Return the last `count` lines of a program's output, indented, without empty ones."""
    kept = [line.rstrip() for line in lines if line.strip()]
    return "\n".join(f"    {line}" for line in kept[-count:])


def suggest_nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the closest match in `known`, or lists all of them."""
    import difflib  # imported on error only, to keep `inv --list` fast

    choices = list(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(choices)}" if choices else ""
