"""What a person sees while work goes on: phases on standard error, results on standard output."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_prefix = ""
_live: Phase | None = None


@contextlib.contextmanager
def about(name: str) -> Iterator[None]:
    """Put `name` before every line inside of the block: which flow it is about."""
    global _prefix
    before, _prefix = _prefix, f"{name}: "
    try:
        yield
    finally:
        _prefix = before


class Phase:
    """What a phase can say while it goes on, and in its last line."""

    def __init__(self, head: str, live: bool) -> None:
        self._head, self._live, self.width = head, live, 0
        self.result = ""

    def now(self, text: str) -> None:
        """Show how far it is; on a terminal only, where the next text takes its place."""
        if self._live:
            line = f"{self._head} … {text}"[: shutil.get_terminal_size().columns - 1]
            print(line.ljust(self.width), end="\r", file=sys.stderr, flush=True)
            self.width = len(line)

    def end(self, text: str) -> None:
        """Print the last line over what was shown."""
        line = f"{self._head}{text}".ljust(self.width)
        print(line.rstrip() if not self._live else line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def phase(name: str, what: str) -> Iterator[Phase]:
    """Say that a phase began, and when it ended how long it took.

    On a terminal the line is shown while the work goes on and then completed; on a pipe, and in CI,
    there is one plain line at the end, so that a log has one line a phase.
    """
    global _live
    before, _live = _live, Phase(f"{_prefix}{name:<9} {what}", sys.stderr.isatty())
    shown = _live
    shown.now("")
    start = time.monotonic()
    try:
        yield shown
    except BaseException as error:
        shown.end(f" … {'interrupted' if isinstance(error, KeyboardInterrupt) else 'failed'}")
        raise
    finally:
        _live = before
    result = f"  {shown.result}" if shown.result else ""
    shown.end(f"{result}  {time.monotonic() - start:.1f} s")


def note(name: str, what: str) -> None:
    """Say one thing that is worth a line among the phases."""
    line = f"{_prefix}{name:<9} {what}"
    # Over what a phase shows on a terminal, which its next text shows again.
    print(line.ljust(_live.width if _live else 0), file=sys.stderr, flush=True)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Print `rows` as aligned columns, those of `columns` or all of the first row."""
    if not rows:
        return
    heads = list(columns or rows[0])
    cells = [heads, *[[_cell(row[head]) for head in heads] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    for row in cells:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def as_json(value: Any) -> None:
    """Print `value` as JSON, for programs."""
    print(json.dumps(value, indent=2, default=str))


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(inner)}" for key, inner in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(_cell(inner) for inner in value) or "-"
    return "-" if value in (None, "") else str(value)
