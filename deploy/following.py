"""A log whose end alone can be asked for, followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from deploy import pausing


def lines(
    fetch: Callable[[], Sequence[str]], tail: int, follow: bool, seconds: float
) -> Iterator[str]:
    """Yield the last `tail` lines of what `fetch` gives; with `follow` then those that come."""
    said = fetch()
    yield from said[-tail:]
    while follow:
        pausing.pause(seconds)
        now = fetch()
        yield from newer(said, now)
        said = now or said


def newer(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Return the lines of `now` that come after those of `before`; both are the end of a log."""
    for start in range(max(0, len(before) - len(now)), len(before)):
        rest = before[start:]
        for at in range(len(now) - len(rest), -1, -1):
            if list(now[at : at + len(rest)]) == list(rest):
                return list(now[at + len(rest) :])
    return list(now)
