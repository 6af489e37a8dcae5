"""Conditions on the answers, as they are written in advice files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.advise.answers import QUESTIONS
from deploy.core.errors import suggest_nearest

# What a condition can name beside the questions, with an example of its type.
DERIVED_VALUES: Mapping[str, Any] = {
    # Megabytes of requests a second at the peak.
    "bandwidth": 0.0,
    # Connections that are open at the peak, if every answer takes the longest time.
    "connections": 0.0,
    # Whether the environment is for trials.
    "trial": False,
    # Whether the target is installed.
    "installed": False,
}


@dataclass(frozen=True)
class Condition:
    """A condition that holds if all of its requirements do."""

    # For each name the accepted values.
    values: Mapping[str, tuple[Any, ...]]
    # For each name the number that its value exceeds.
    thresholds: Mapping[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the questions and derived values."""
        return (*self.values, *self.thresholds)

    def holds(self, context: Mapping[str, Any]) -> bool:
        """Return whether the values in `context` meet every requirement."""
        for name, accepted in self.values.items():
            if context[name] not in accepted:
                return False
        return all(context[name] > number for name, number in self.thresholds.items())


def parse_condition(data: Mapping[str, Any]) -> Condition:
    """Return the condition in `data`. Raise `ValueError` if it is not valid."""
    examples = {
        **{question.name: question.parse_answer(question.default) for question in QUESTIONS},
        **DERIVED_VALUES,
    }
    choices = {question.name: question.choices for question in QUESTIONS}
    values, thresholds = {}, {}
    for name, required in data.items():
        if name not in examples:
            raise ValueError(f"unknown condition {name!r}; {suggest_nearest(name, examples)}")
        if isinstance(examples[name], float):
            thresholds[name] = float(required["above"])
            continue
        values[name] = tuple(required) if isinstance(required, list) else (required,)
        for value in values[name]:
            if isinstance(examples[name], bool) != isinstance(value, bool) or (
                isinstance(value, str) and value not in choices[name]
            ):
                raise ValueError(f"{name} is never {value!r}")
    return Condition(values, thresholds)
