"""Who is next, by shares: of any hundred requests in a row each gets what it is due."""

from __future__ import annotations

from collections.abc import Mapping


class Shares:
    """Smooth weighted round robin, so that tests can count."""

    def __init__(self) -> None:
        self._weights: dict[str, int] = {}
        self._credit: dict[str, int] = {}

    def choose(self, weights: Mapping[str, int]) -> str | None:
        """Return who is next; None where nobody has a share."""
        given = {name: weight for name, weight in weights.items() if weight > 0}
        if not given:
            return None
        if given != self._weights:
            self._weights, self._credit = given, dict.fromkeys(given, 0)
        for name, weight in given.items():
            self._credit[name] += weight
        chosen = max(self._credit, key=lambda name: self._credit[name])
        self._credit[chosen] -= sum(given.values())
        return chosen
