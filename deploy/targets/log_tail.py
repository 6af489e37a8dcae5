"""The last lines of a container's log: follow them, and mask the secrets in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from deploy.core import interrupts
from deploy.core.entities import Spec

# Lines to fetch while following a log.
FOLLOW_LINES = 500
MASK = "***"


def stream_lines(
    fetch: Callable[[int], Sequence[str]], tail: int, follow: bool, seconds: float
) -> Iterator[str]:
    """Yield the last `tail` lines of a log; with `follow`, also those that it gets afterwards.

    `fetch` returns as many of the last lines as its argument says. `seconds` is the time between
    two fetches.
    """
    count = max(tail, FOLLOW_LINES) if follow else tail
    lines = fetch(count)
    yield from lines[-tail:]
    while follow:
        interrupts.pause(seconds)
        newest = fetch(count)
        yield from new_lines(lines, newest)
        lines = newest or lines


def new_lines(before: Sequence[str], newest: Sequence[str]) -> list[str]:
    """Return the lines of `newest` that follow those of `before`.

    Both are the last lines of the same log, fetched at two times.
    """
    for start in range(max(0, len(before) - len(newest)), len(before)):
        overlap = before[start:]
        for position in range(len(newest) - len(overlap), -1, -1):
            if list(newest[position : position + len(overlap)]) == list(overlap):
                return list(newest[position + len(overlap) :])
    return list(newest)


def mask_secrets(
    spec: Spec, lines: Iterable[str], headers: Mapping[str, str] | None = None
) -> list[str]:
    """Return `lines` without the values of the spec's secrets and the credentials in `headers`."""
    secrets = [spec.variables.get(name, "") for name in spec.secrets]
    secrets += [value.rpartition(" ")[2] for value in (headers or {}).values()]
    text = "\n".join(lines)
    for secret in filter(None, secrets):
        text = text.replace(secret, MASK)
    return text.splitlines()
