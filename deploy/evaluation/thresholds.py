"""From rows and metrics to a verdict. Pure: nothing here reads or writes anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.evaluation.settings import Bounds, EvaluationModel

# No sum of so many rows as there may be is beyond what a float holds.
LARGEST = 1e300

Metrics = Mapping[str, Mapping[str, float]]
"""Metrics by evaluation flow, and then by name."""


@dataclass(frozen=True)
class Verdict:
    """A metric of an evaluation flow: what it is, was before, must be, and whether it is that.

    `value` is None where a threshold asks for a metric that nobody has measured, `before` where
    there is nothing to compare with.
    """

    evaluation: str
    metric: str
    value: float | None
    before: float | None
    wanted: str
    passed: bool

    @property
    def change(self) -> float | None:
        """The difference to before."""
        return None if self.value is None or self.before is None else self.value - self.before


def means(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean of each output that is a number in every one of `rows`.

    True counts as 1, and a text that is a number as that number: a model answers with text.
    """
    every = list(rows)
    names = dict.fromkeys(name for row in every for name in row)
    found = {}
    for name in names:
        numbers = [number(row.get(name)) for row in every]
        known = [one for one in numbers if one is not None]
        if known and len(known) == len(numbers):
            found[name] = math.fsum(known) / len(known)
    return found


def number(value: Any) -> float | None:
    """Return `value` as a number, or None where it is none (NaN, infinite, too large to add up)."""
    if isinstance(value, str) and len(value) > 30:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if abs(found) < LARGEST else None


def judge(settings: EvaluationModel, metrics: Metrics, before: Metrics) -> tuple[Verdict, ...]:
    """Return a verdict for each metric that was measured, or that a threshold asks for."""
    verdicts = []
    for name, flow in settings.flows.items():
        found, old = metrics.get(name, {}), before.get(name, {})
        for metric in dict.fromkeys([*flow.thresholds, *found]):
            value, bounds = found.get(metric), flow.thresholds.get(metric)
            passed = bounds is None or (value is not None and within(value, bounds))
            wanted = "" if bounds is None else in_words(bounds)
            verdicts.append(Verdict(name, metric, value, old.get(metric), wanted, passed))
    return tuple(verdicts)


def within(value: float, bounds: Bounds) -> bool:
    """Tell whether `value` is within `bounds`."""
    # Sums of fractions miss by the last digits: 0.1 + 0.2 is as good as 0.3.
    above = bounds.min is None or value >= bounds.min or math.isclose(value, bounds.min)
    return above and (bounds.max is None or value <= bounds.max or math.isclose(value, bounds.max))


def in_words(bounds: Bounds) -> str:
    """Return `bounds` for people: `at least 0.9`."""
    low = "" if bounds.min is None else f"at least {shown(bounds.min)}"
    high = "" if bounds.max is None else f"at most {shown(bounds.max)}"
    return ", ".join(part for part in (low, high) if part)


def shown(value: float) -> str:
    """Return a number for people: up to six digits after the point."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
