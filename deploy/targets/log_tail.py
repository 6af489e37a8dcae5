"""Follow a log that exposes only its last lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from deploy.core import interrupts


def stream_lines(
    fetch: Callable[[], Sequence[str]], tail: int, follow: bool, seconds: float
) -> Iterator[str]:
    """Yield the last `tail` lines that `fetch` returns; with `follow`, also those that follow.

    `seconds` is the time between two fetches.
    """
    lines = fetch()
    yield from lines[-tail:]
    while follow:
        interrupts.pause(seconds)
        newest = fetch()
        yield from new_lines(lines, newest)
        lines = newest or lines


def new_lines(before: Sequence[str], newest: Sequence[str]) -> list[str]:
    """Return the lines of `now` that follow those of `before`.

    Both are the last lines of the same log, fetched at two times.
    """
    for start in range(max(0, len(before) - len(newest)), len(before)):
        overlap = before[start:]
        for position in range(len(newest) - len(overlap), -1, -1):
            if list(newest[position : position + len(overlap)]) == list(overlap):
                return list(newest[position + len(overlap) :])
    return list(newest)
