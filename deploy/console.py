"""What a person sees while work goes on: phases on standard error, results on standard output."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_prefix = ""


@contextlib.contextmanager
def about(name: str) -> Iterator[None]:
    """Put `name` before every line inside of the block: which flow it is about."""
    global _prefix
    before, _prefix = _prefix, f"{name}: "
    try:
        yield
    finally:
        _prefix = before


@contextlib.contextmanager
def phase(name: str, what: str) -> Iterator[None]:
    """Say that a phase began, and when it ended how long it took.

    On a terminal the line is shown while the work goes on and then completed; on a pipe, and in CI,
    there is one plain line at the end, so that a log has one line a phase.
    """
    live = sys.stderr.isatty()
    if live:
        print(f"{_prefix}{name:<9} {what} …", end="\r", file=sys.stderr, flush=True)
    start = time.monotonic()
    try:
        yield
    except BaseException as error:
        end = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        print(f"{_prefix}{name:<9} {what} … {end}", file=sys.stderr, flush=True)
        raise
    print(
        f"{_prefix}{name:<9} {what}  {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True
    )


def note(name: str, what: str) -> None:
    """Say one thing that is worth a line among the phases."""
    print(f"{_prefix}{name:<9} {what}", file=sys.stderr, flush=True)


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
