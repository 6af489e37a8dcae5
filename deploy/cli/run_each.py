"""Run an action for several flows: a flow that fails does not stop the others."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from deploy.core.errors import DeployError, Problem

Item = TypeVar("Item")
Result = TypeVar("Result")
# Flows that are planned, deployed and rolled back in parallel.
MAX_PARALLEL = 4


@dataclass
class Outcome(Generic[Result]):
    """The results in order, the items that failed, and the problems of all of them."""

    results: list[Result] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    failed: list[Any] = field(default_factory=list)

    def raise_problems(self) -> None:
        """Raise one `DeployError` with all problems, if there are any."""
        if self.problems:
            raise DeployError.from_problems(self.problems)


def run_each(
    items: Iterable[Item], action: Callable[[Item], Result], parallel: int = 1
) -> Outcome[Result]:
    """Run `action` for each of `items`, up to `parallel` at a time; return the outcome.

    An interruption stops all of them (see `core.interrupts`); it is raised again after each has
    cleaned up.
    """
    items = list(items)
    outcome: Outcome[Result] = Outcome()
    if parallel == 1 or len(items) < 2:
        for item in items:
            _record_result(outcome, item, functools.partial(action, item))
        return outcome
    from concurrent.futures import ThreadPoolExecutor

    from deploy.core import interrupts, progress

    with progress.parallel(), ThreadPoolExecutor(parallel) as pool:
        running = [pool.submit(contextvars.copy_context().run, action, item) for item in items]
        try:
            for item, future in zip(items, running, strict=True):
                _record_result(outcome, item, future.result)
        except BaseException:
            interrupts.interrupt()
            pool.shutdown(cancel_futures=True)
            raise
    return outcome


def _record_result(outcome: Outcome[Result], item: Any, action: Callable[[], Result]) -> None:
    try:
        outcome.results.append(action())
    except DeployError as error:
        # A problem that several flows share is reported once.
        outcome.problems += [p for p in error.problems if p not in outcome.problems]
        outcome.failed.append(item)
