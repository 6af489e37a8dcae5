"""Choose by weights: of any hundred requests in a row, each name gets its exact share."""

from __future__ import annotations

from collections.abc import Mapping


class WeightedRoundRobin:
    """Smooth weighted round robin, deterministic so that tests can count."""

    def __init__(self) -> None:
        self._weights: dict[str, int] = {}
        self._credit: dict[str, int] = {}

    def choose(self, weights: Mapping[str, int]) -> str | None:
        """Return the next name, None if no name has a weight."""
        positive = {name: weight for name, weight in weights.items() if weight > 0}
        if not positive:
            return None
        if positive != self._weights:
            self._weights, self._credit = positive, dict.fromkeys(positive, 0)
        for name, weight in positive.items():
            self._credit[name] += weight
        chosen = max(self._credit, key=lambda name: self._credit[name])
        self._credit[chosen] -= sum(positive.values())
        return chosen
