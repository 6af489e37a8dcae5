"""Progress of long operations on standard error: phases, and notes between them."""

from __future__ import annotations

import contextlib
import contextvars
import shutil
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from deploy.core import ci_system

# Each flow runs in a thread with values of its own.
_prefix = contextvars.ContextVar("prefix", default="")
_parallel = contextvars.ContextVar("parallel", default=False)
_current_phase: contextvars.ContextVar[Phase | None] = contextvars.ContextVar("live", default=None)
# Seconds between two progress lines of a phase where lines cannot be overwritten.
UPDATE_SECONDS = 30.0


class Timing(NamedTuple):
    """A completed phase."""

    flow: str
    phase: str
    detail: str
    # Such as "1.2 s" or "failed after 0.1 s".
    outcome: str


_timings: list[Timing] = []


def take_timings() -> list[Timing]:
    """Return the phases that have ended since the last call."""
    timings = list(_timings)
    _timings.clear()
    return timings


@contextlib.contextmanager
def log_prefix(name: str) -> Iterator[None]:
    """Prefix every line printed inside the block with `name`, usually the name of a flow."""
    token = _prefix.set(f"{name}: ")
    try:
        yield
    finally:
        _prefix.reset(token)


@contextlib.contextmanager
def parallel() -> Iterator[None]:
    """Mark the block as running several phases at once, so that no line overwrites another."""
    token = _parallel.set(True)
    try:
        yield
    finally:
        _parallel.reset(token)


class Phase:
    """A running phase."""

    def __init__(self, head: str, live: bool) -> None:
        self._head, self._live, self.width = head, live and not _parallel.get(), 0
        self._updated = time.monotonic()
        self.result = ""

    def update(self, text: str) -> None:
        """Display the progress of the phase.

        On a terminal it replaces the previous text. On a pipe, and while several phases run in
        parallel, it is printed as a line of its own, at most every `UPDATE_SECONDS`.
        """
        if self._live:
            line = f"{self._head} … {text}"[: shutil.get_terminal_size().columns - 1]
            print(line.ljust(self.width), end="\r", file=sys.stderr, flush=True)
            self.width = len(line)
        elif text and time.monotonic() - self._updated > UPDATE_SECONDS:
            self._updated = time.monotonic()
            print(f"{self._head} … {text}", file=sys.stderr, flush=True)

    def end(self, text: str) -> None:
        """Print the final line of the phase, in place of its progress."""
        line = f"{self._head}{text}".ljust(self.width)
        print(line.rstrip() if not self._live else line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def phase(name: str, detail: str) -> Iterator[Phase]:
    """Report the start of a phase and, at its end, how long it took.

    On a terminal the line appears at once and is completed at the end. On a pipe, and in CI, one
    plain line is printed at the end, preceded by a progress line every half minute.
    """
    running = Phase(f"{_prefix.get()}{name:<9} {detail}", sys.stderr.isatty())
    token = _current_phase.set(running)
    running.update("")
    start = time.monotonic()
    try:
        yield running
    except BaseException as error:
        outcome = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        running.end(f" … {outcome}")
        _add_timing(name, detail, f"{outcome} after {time.monotonic() - start:.1f} s")
        raise
    finally:
        _current_phase.reset(token)
    result = f"  {running.result}" if running.result else ""
    duration = f"{time.monotonic() - start:.1f} s"
    running.end(f"{result}  {duration}")
    _add_timing(name, detail, duration)


def note(name: str, detail: str) -> None:
    """Print one line between the phases."""
    line = f"{_prefix.get()}{name:<9} {detail}"
    # Overwrites the progress of a phase on a terminal; its next update displays it again.
    live = _current_phase.get()
    line = ci_system.escape_commands(line).ljust(live.width if live else 0)
    print(line, file=sys.stderr, flush=True)


def _add_timing(name: str, detail: str, outcome: str) -> None:
    _timings.append(Timing(_prefix.get().removesuffix(": "), name, detail, outcome))
