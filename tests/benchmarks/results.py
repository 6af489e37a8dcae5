"""The measured figures, by subject and variant."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """What is measured: a `name` with its unit, of the flow or load `subject`.

    `more` says that more of it is better.
    """

    part: str
    subject: str
    name: str
    more: bool = False


@dataclass
class Results:
    """The measured values by figure and by the variant's name, in the order they came in."""

    values: dict[Figure, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, figure: Figure, variant: str, value: float) -> None:
        """Note one more value."""
        self.values.setdefault(figure, {}).setdefault(variant, []).append(value)

    def of(self, figure: Figure, variant: str) -> Sequence[float]:
        """Return the values; none where it was not measured."""
        return self.values.get(figure, {}).get(variant, [])

    def ratio(self, figure: Figure, over: str, under: str) -> float | None:
        """Return the median for `over` divided by that for `under`, where both are known."""
        above, below = self.of(figure, over), self.of(figure, under)
        if not above or not below or not statistics.median(below):
            return None
        return statistics.median(above) / statistics.median(below)

    def data(self) -> list[dict[str, Any]]:
        """Return all of it as plain data for JSON."""
        return [{**asdict(figure), "values": values} for figure, values in self.values.items()]

    @classmethod
    def of_data(cls, data: list[dict[str, Any]]) -> Results:
        """Return the results that `data` was made of."""
        return cls(
            {
                Figure(row["part"], row["subject"], row["name"], row["more"]): row["values"]
                for row in data
            }
        )
