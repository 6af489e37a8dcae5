"""Compare metrics with thresholds. Pure functions: nothing here reads or writes files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.core.entities import Bounds, Evaluation

# Small enough that the sum over all rows of a data set fits into a float.
MAX_NUMBER = 1e300

Metrics = Mapping[str, Mapping[str, float]]
"""Metrics by evaluation flow, and then by name."""


@dataclass(frozen=True)
class Verdict:
    """A metric of an evaluation flow, its threshold, and whether it meets it."""

    evaluation: str
    metric: str
    # None if a threshold requires a metric that was not measured.
    value: float | None
    # None if there is no run to compare with.
    before: float | None
    # The bounds as text: `at least 0.9`; empty without a threshold.
    threshold: str
    passed: bool

    @property
    def change(self) -> float | None:
        """The difference to the last run that passed."""
        return None if self.value is None or self.before is None else self.value - self.before


def average_outputs(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean of each output that is a number in every one of `rows`.

    True counts as 1, and text that contains a number counts as that number, because models answer
    with text.
    """
    row_list = list(rows)
    names = dict.fromkeys(name for row in row_list for name in row)
    means = {}
    for name in names:
        numbers = [parse_number(row.get(name)) for row in row_list]
        valid = [number for number in numbers if number is not None]
        if valid and len(valid) == len(numbers):
            means[name] = math.fsum(valid) / len(valid)
    return means


def parse_number(value: Any) -> float | None:
    """Return `value` as a float, or None if it is no number, NaN, infinite or too large to sum."""
    if isinstance(value, str) and len(value) > 30:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < MAX_NUMBER else None


def check_thresholds(
    settings: Evaluation, metrics: Metrics, before: Metrics
) -> tuple[Verdict, ...]:
    """Return a verdict for each metric that was measured or that a threshold requires."""
    verdicts = []
    for name, flow in settings.flows.items():
        measured, previous = metrics.get(name, {}), before.get(name, {})
        for metric in dict.fromkeys([*flow.thresholds, *measured]):
            value, bounds = measured.get(metric), flow.thresholds.get(metric)
            passed = bounds is None or (value is not None and is_within(value, bounds))
            requirement = "" if bounds is None else format_bounds(bounds)
            verdicts.append(Verdict(name, metric, value, previous.get(metric), requirement, passed))
    return tuple(verdicts)


def is_within(value: float, bounds: Bounds) -> bool:
    """Return whether `value` is within `bounds`."""
    # Rounding errors must not fail a threshold: 0.1 + 0.2 counts as 0.3.
    above = bounds.min is None or value >= bounds.min or math.isclose(value, bounds.min)
    return above and (bounds.max is None or value <= bounds.max or math.isclose(value, bounds.max))


def format_bounds(bounds: Bounds) -> str:
    """Return `bounds` as text: `at least 0.9`."""
    low = "" if bounds.min is None else f"at least {format_number(bounds.min)}"
    high = "" if bounds.max is None else f"at most {format_number(bounds.max)}"
    return ", ".join(part for part in (low, high) if part)


def format_number(value: float) -> str:
    """Return a number as text, with up to six digits after the decimal point."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
