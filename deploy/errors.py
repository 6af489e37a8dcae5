"""The one exception that users see, as sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Where something is wrong (file and line, a service), what is wrong, and what to do next."""

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        return f"{text}\n  → {self.hint}" if self.hint else text


class DeployError(Exception):
    """One or more problems that stop a task. Everything that ran before keeps running."""

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        self.problems: tuple[Problem, ...] = (Problem(where, what, hint),)
        super().__init__(str(self))

    @classmethod
    def of(cls, problems: list[Problem]) -> DeployError:
        """Return one error that lists every one of `problems` (at least one)."""
        first = problems[0]
        error = cls(first.where, first.what, first.hint)
        error.problems = tuple(problems)
        return error

    def with_lines(self, lines: Iterable[str]) -> DeployError:
        """Return the error with the last lines that were said, where there are some."""
        text, first = "\n".join(lines).strip(), self.problems[0]
        what = f"{first.what}\n  its last lines:\n{text}" if text else first.what
        return DeployError(first.where, what, first.hint)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class Refusal(DeployError):
    """What is there rules a plan out: nothing failed, and looking again finds the same."""
