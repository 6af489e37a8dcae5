"""When a worker counts as frozen: its event loop does not turn, and not for lack of processor time.

A flow's code or a C function (a regular expression, say) that holds the interpreter stops all
threads of its process. That ends requests beside it, time limits, probes and SIGTERM.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .vitals import LOOP, Board, Running

# Seconds between two looks.
LOOK_SECONDS = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")
# proc(5): waits for a disk or for memory; is stopped, by a signal or by a debugger.
_HELD = frozenset("DTt")
_NAMED = 5


@dataclass(frozen=True)
class Thread:
    """A thread: its state, by proc(5)'s letter, and the seconds of processor time that it took."""

    state: str
    spent: float


@dataclass(frozen=True)
class Look:
    """The threads of a worker at one time, by number."""

    threads: Mapping[int, Thread]

    @property
    def spent(self) -> float:
        """The seconds of processor time that the threads took."""
        return sum(thread.spent for thread in self.threads.values())


def added(before: Look, now: Look, passed: float) -> float:
    """Return the seconds of silence that `now` adds, `passed` seconds after `before`.

    Silence counts as long as the worker could have beaten. What was paused with its container, or
    slept with the machine, or is stopped by a debugger, could not. One that waits for a processor
    that others use has only the time that it got.
    """
    # Who watches was paused, too, or got no processor either.
    passed = min(passed, LOOK_SECONDS)
    states = {thread.state for thread in now.threads.values()}
    if "R" in states:
        return max(0.0, min(passed, now.spent - before.spent))
    return 0.0 if states & _HELD else passed


def busiest(since: Look, now: Look) -> int:
    """Return the thread that took the most processor time."""
    spent = {
        number: thread.spent - since.threads.get(number, Thread("", 0.0)).spent
        for number, thread in now.threads.items()
    }
    return max(spent, key=lambda number: spent[number], default=LOOP)


def suspects(running: Iterable[Running], thread: int) -> str:
    """Return the requests that `thread` runs, in words; where that is none, all that run."""
    known = list(running)
    ids = [each.request_id for each in known if each.thread == thread]
    ids = ids or [each.request_id for each in known]
    if not ids:
        return "no request"
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"request {', '.join(ids[:_NAMED])}{more}"


class Watch:
    """Watches the worker `process` by its `board`."""

    def __init__(self, process: int, board: Board) -> None:
        self._process = process
        self._board = board
        self._beats = 0
        # The first look of the silence, and the last one.
        self._looks: tuple[Look, Look] | None = None
        self.silent = 0.0

    def look(self, passed: float) -> None:
        """Look again, `passed` seconds after the last time; `silent` are the seconds of silence."""
        beats = self._board.beats
        if not beats or beats != self._beats:
            self._beats, self._looks, self.silent = beats, None, 0.0
            return
        now = Look(threads(self._process))
        first, last = self._looks or (now, now)
        if self._looks:
            self.silent += added(last, now, passed)
        self._looks = (first, now)

    def suspects(self) -> str:
        """Return the requests that ran while the worker was silent, in words."""
        thread = busiest(*self._looks) if self._looks else LOOP
        # A process has the number of its first thread, which has the event loop.
        thread = LOOP if thread == self._process else thread
        return suspects(self._board.running(), thread)


def threads(process: int) -> dict[int, Thread]:
    """Return the threads of `process`, which may end meanwhile."""
    found = {}
    try:
        for folder in Path(f"/proc/{process}/task").iterdir():
            # The name before may hold anything; fields 3, 14 and 15 of proc_pid_stat(5).
            words = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            spent = (int(words[11]) + int(words[12])) / _TICKS
            found[int(folder.name)] = Thread(words[0], spent)
    except OSError:
        pass
    return found
