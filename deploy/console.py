"""What a person sees while work goes on: phases on standard error, results on standard output.

A result with a title is also on the page of the run, where that is a job of a CI system.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.job import markdown, system

# Each flow's thread has its own.
_prefix = contextvars.ContextVar("prefix", default="")
_together = contextvars.ContextVar("together", default=False)
_live: contextvars.ContextVar[Phase | None] = contextvars.ContextVar("live", default=None)
# How long each phase took, of all flows: what it is of, its name, what it does, and the outcome.
_timings: list[tuple[str, str, str, str]] = []
# What this run has for the page of its job, in Markdown.
_sections: list[str] = []
# Seconds between two lines about the same phase, where none can take the place of another.
SELDOM = 30.0


@contextlib.contextmanager
def about(name: str) -> Iterator[None]:
    """Put `name` before every line inside of the block: which flow it is about."""
    token = _prefix.set(f"{name}: ")
    try:
        yield
    finally:
        _prefix.reset(token)


@contextlib.contextmanager
def side_by_side() -> Iterator[None]:
    """Inside of the block several phases go on at once: no line is drawn over another's."""
    token = _together.set(True)
    try:
        yield
    finally:
        _together.reset(token)


class Phase:
    """What a phase can say while it goes on, and in its last line."""

    def __init__(self, head: str, live: bool) -> None:
        self._head, self._live, self.width = head, live and not _together.get(), 0
        self._said = time.monotonic()
        self.result = ""

    def now(self, text: str) -> None:
        """Show how far it is: on a terminal in place of what it showed before.

        On a pipe, and where several phases go on side by side, it is a line now and then.
        """
        if self._live:
            line = f"{self._head} … {text}"[: shutil.get_terminal_size().columns - 1]
            print(line.ljust(self.width), end="\r", file=sys.stderr, flush=True)
            self.width = len(line)
        elif text and time.monotonic() - self._said > SELDOM:
            self._said = time.monotonic()
            print(f"{self._head} … {text}", file=sys.stderr, flush=True)

    def end(self, text: str) -> None:
        """Print the last line over what was shown."""
        line = f"{self._head}{text}".ljust(self.width)
        print(line.rstrip() if not self._live else line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def phase(name: str, what: str) -> Iterator[Phase]:
    """Say that a phase began, and when it ended how long it took.

    On a terminal the line is shown while the work goes on and then completed; on a pipe, and in CI,
    there is one plain line at the end, and before it another for each half minute.
    """
    shown = Phase(f"{_prefix.get()}{name:<9} {what}", sys.stderr.isatty())
    token = _live.set(shown)
    shown.now("")
    start = time.monotonic()
    try:
        yield shown
    except BaseException as error:
        outcome = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        shown.end(f" … {outcome}")
        _timed(name, what, f"{outcome} after {time.monotonic() - start:.1f} s")
        raise
    finally:
        _live.reset(token)
    result = f"  {shown.result}" if shown.result else ""
    took = f"{time.monotonic() - start:.1f} s"
    shown.end(f"{result}  {took}")
    _timed(name, what, took)


def note(name: str, what: str) -> None:
    """Say one thing that is worth a line among the phases."""
    line = f"{_prefix.get()}{name:<9} {what}"
    # Over what a phase shows on a terminal, which its next text shows again.
    live = _live.get()
    line = system.inert(line).ljust(live.width if live else 0)
    print(line, file=sys.stderr, flush=True)


def show(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] = (),
    *,
    title: str = "",
    for_programs: bool = False,
    data: Any = None,
    nothing: str = "",
) -> None:
    """Print `rows` as a table, or for programs as JSON: `data`, where that says more than they do.

    With `title` they are also on the page of the run. `nothing` is what is said where there are
    none.
    """
    if for_programs:
        as_json(rows if data is None else data)
    elif rows:
        table(rows, columns)
    elif nothing:
        print(nothing)
    if rows and title:
        report(rows, columns, title)
    elif nothing and title:
        tell(title, markdown.text(nothing))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Print `rows` as aligned columns, those of `columns` or all of the first row."""
    if not rows:
        return
    cells = _cells(rows, columns)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(system.inert(line.rstrip()))


def report(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str) -> None:
    """Show `rows` on the page of the run, under `title`; nothing where there are none."""
    if rows:
        heads, *cells = _cells(rows, columns)
        tell(title, markdown.table(heads, cells))


def tell(title: str, content: str) -> None:
    """Show `content`, which is Markdown, on the page of the run."""
    _sections.append(markdown.section(title, content))


def end(task: str) -> None:
    """Give the page of the run all that `task` told, and how long each of its phases took."""
    if _timings:
        rows = markdown.table(("flow", "phase", "what", "took"), _timings)
        _sections.append(markdown.folded(f"inv {task}: phases", rows))
    if _sections:
        system.summary(*_sections)
    _timings.clear()
    _sections.clear()


def as_json(value: Any) -> None:
    """Print `value` as JSON, for programs."""
    text = json.dumps(value, indent=2, default=str)
    # No CI system takes a command from what others wrote: the same values, written differently.
    print(text if system.inert(text) == text else text.replace("##", "#\\u0023"))


def _timed(name: str, what: str, outcome: str) -> None:
    _timings.append((_prefix.get().removesuffix(": "), name, what, outcome))


def _cells(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[list[str]]:
    heads = list(columns or rows[0])
    return [heads, *[[_cell(row[head]) for head in heads] for row in rows]]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(inner)}" for key, inner in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(_cell(inner) for inner in value) or "-"
    return "-" if value in (None, "") else str(value)
