"""What tasks.py needs of the command line. `inv --list` loads it: nothing heavy here."""

from __future__ import annotations

import contextvars
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from invoke.context import Context
from invoke.exceptions import Exit

from deploy.errors import DeployError, Problem

Item = TypeVar("Item")
Result = TypeVar("Result")


def sentences(body: Callable[..., Result]) -> Callable[..., Result]:
    """Let a failing task end with sentences and status 1; FLOW_DEBUG=1 shows the traceback."""

    @functools.wraps(body)
    def wrapped(*args: Any, **kwargs: Any) -> Result:
        # A CI system cancels by SIGTERM: what was started must be cleaned up then, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            return body(*args, **kwargs)
        except Exit:
            raise
        except KeyboardInterrupt:
            raise Exit("interrupted\n  → run this again: it goes on from there", 130) from None
        except Exception as error:
            if os.environ.get("FLOW_DEBUG"):
                raise
            raise _told(_name(body), _problems(error)) from None
        finally:
            # Where it was not loaded nothing was told, and no phase began.
            if console := sys.modules.get("deploy.console"):
                console.end(_name(body))

    return wrapped


def _name(body: Callable[..., Any]) -> str:
    """Return a task's name as it is typed: `plan`, or `infra.plan`, of `deploy/infra/tasks.py`."""
    package = body.__module__.rpartition(".tasks")[0].rpartition(".")[2]
    return f"{package}.{body.__name__}" if package else body.__name__


def _problems(error: Exception) -> tuple[Problem, ...]:
    if isinstance(error, DeployError):
        return error.problems
    if isinstance(error, OSError):
        return (Problem(str(error.filename or "system"), error.strerror or str(error)),)
    hint = "this is a fault of the tool; FLOW_DEBUG=1 shows where"
    return (Problem(type(error).__name__, str(error), hint),)


def _told(task: str, problems: tuple[Problem, ...]) -> Exit:
    """Return the end of a task that failed; a CI system is told of each problem by itself, too."""
    from deploy import console
    from deploy.job import markdown, system

    for problem in problems:
        system.annotate("error", problem)
    console.tell(f"inv {task} failed", markdown.problems(problems))
    # What a container said last may be in it.
    return Exit(system.inert("\n".join(map(str, problems))), 1)


@dataclass
class Outcome(Generic[Result]):
    """What came of doing a thing for several flows: one that fails does not keep the others."""

    results: list[Result] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    failed: list[Any] = field(default_factory=list)

    def finish(self) -> None:
        """Raise one `DeployError` with all that went wrong, if anything did."""
        if self.problems:
            raise DeployError.of(self.problems)


def each(
    items: Iterable[Item], action: Callable[[Item], Result], at_once: int = 1
) -> Outcome[Result]:
    """Do `action` for every one of `items`, whichever fail; up to `at_once` of them side by side.

    The outcome is in the order of `items`. An interruption reaches all of them (`pausing`), and is
    raised once each has put things right.
    """
    every = list(items)
    outcome: Outcome[Result] = Outcome()
    if at_once == 1 or len(every) < 2:
        for item in every:
            _note(outcome, item, functools.partial(action, item))
        return outcome
    from concurrent.futures import ThreadPoolExecutor

    from deploy import console, pausing

    with console.side_by_side(), ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(contextvars.copy_context().run, action, item) for item in every]
        try:
            for item, future in zip(every, running, strict=True):
                _note(outcome, item, future.result)
        except BaseException:
            pausing.interrupt()
            pool.shutdown(cancel_futures=True)
            raise
    return outcome


def _note(outcome: Outcome[Result], item: Any, action: Callable[[], Result]) -> None:
    try:
        outcome.results.append(action())
    except DeployError as error:
        # What is wrong with all of them is said once.
        outcome.problems += [p for p in error.problems if p not in outcome.problems]
        outcome.failed.append(item)


def one(items: list[Item], option: str) -> Item:
    """Return the only one of `items`. Raises `DeployError` where there are more."""
    if len(items) != 1:
        raise DeployError(option, f"it is for one flow, not for {len(items)}", "add --flow")
    return items[0]


def needed(option: str, value: str | None) -> str:
    """Return `value`. Raises `DeployError` where there is none."""
    if not value:
        raise DeployError(option, "it is missing", "name an environment of environments.yaml")
    return value


def refuse_without_yes(does: str, environment: str, flows: list[str]) -> None:
    """Raise `DeployError`: to all of an environment nothing is done by accident."""
    what = f"this {does} {', '.join(flows)}"
    raise DeployError(f"--env {environment}", what, "name one with --flow, or add --yes")


def count(option: str, text: str) -> int:
    """Return `text` as a whole number above 0. Raises `DeployError`."""
    if not text.isdecimal() or int(text) < 1:
        raise DeployError(option, f"{text!r} is no whole number above 0")
    return int(text)


def file(
    option: str, path: str | None, hint: str = "`inv push` writes .artifacts/‹flow›.json"
) -> Path | None:
    """Return `path` as a file or folder, None without one. Raises `DeployError` for none there."""
    if path is None:
        return None
    if not Path(path).exists():
        raise DeployError(option, f"there is no file or folder {path}", hint)
    return Path(path)


def asked(question: str) -> str:
    """Return what somebody types; empty where nobody can be asked."""
    return input(question).strip() if sys.stdin.isatty() else ""


def run(c: Context, *commands: str) -> None:
    """Run `commands` with the environment's own programs.

    Raises `Exit` with status 1 at the first that fails.
    """
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        done = c.run(
            command, env={"PATH": programs}, pty=sys.stdout.isatty(), warn=True, hide=False
        )
        if done is None or done.exited:
            raise Exit(f"failed: {command}", 1)
