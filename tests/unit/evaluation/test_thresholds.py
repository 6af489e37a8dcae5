"""From rows to metrics, and from metrics to a verdict."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.config.evaluation import EvaluationModel
from deploy.core.entities import Bounds, Evaluation
from deploy.evaluation import thresholds
from deploy.evaluation.thresholds import Verdict


def settings(**wanted: Any) -> Evaluation:
    flows = {"evaluation/accuracy": {"thresholds": wanted}}
    return EvaluationModel.model_validate({"data": "questions.jsonl", "flows": flows}).to_entity()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"score": 1}, {"score": 4}], {"score": 2.5}),
        ([{"right": True}, {"right": False}, {"right": True}, {"right": True}], {"right": 0.75}),
        ([{"output": "4"}, {"output": " 5\n"}], {"output": 4.5}),
        ([{"score": 1, "why": "since"}, {"score": 3, "why": "7"}], {"score": 2.0}),
        ([{"score": 1}, {}], {}),
        ([{"score": 1}, {"score": float("nan")}], {}),
        ([{"score": 1}, {"score": None}], {}),
        ([{"score": [1]}], {}),
        ([{"score": "1" * 31}], {}),
        ([{"score": 10**400}], {}),
        ([{"score": 1e308}, {"score": 1e308}], {}),
        ([], {}),
    ],
)
def test_the_mean_of_columns_that_are_numeric_in_every_row(
    rows: list[dict[str, Any]], expected: dict[str, float]
) -> None:
    assert thresholds.average_outputs(rows) == expected


@pytest.mark.parametrize(
    ("value", "bounds", "passes"),
    [
        (0.9, Bounds(min=0.9), True),
        (0.1 + 0.2, Bounds(max=0.3), True),
        (0.3, Bounds(min=0.1 + 0.2), True),
        (0.8999, Bounds(min=0.9), False),
        (1, Bounds(min=0.9), True),
        (3, Bounds(max=3), True),
        (3.01, Bounds(max=3), False),
        (2, Bounds(min=1, max=3), True),
        (0.99, Bounds(min=1, max=3), False),
        (0, Bounds(max=0), True),
    ],
)
def test_at_least_and_at_most(value: float, bounds: Bounds, passes: bool) -> None:
    assert thresholds.is_within(value, bounds) is passes


def test_each_metric_has_a_verdict_and_so_has_one_that_is_missing() -> None:
    found = {"evaluation/accuracy": {"accuracy": 0.8, "length": 12.0}}
    before = {"evaluation/accuracy": {"accuracy": 0.9}, "evaluation/gone": {"x": 1.0}}
    wanted = settings(accuracy=0.75, recall={"min": 0.5, "max": 1})
    assert thresholds.check_thresholds(wanted, found, before) == (
        Verdict("evaluation/accuracy", "accuracy", 0.8, 0.9, "at least 0.75", True),
        Verdict("evaluation/accuracy", "recall", None, None, "at least 0.5, at most 1", False),
        Verdict("evaluation/accuracy", "length", 12.0, None, "", True),
    )


def test_the_change_is_the_difference_to_the_previous_run() -> None:
    verdict = Verdict("e", "m", 0.5, 0.75, "", True)
    assert verdict.change == -0.25
    assert Verdict("e", "m", 0.5, None, "", True).change is None
    assert Verdict("e", "m", None, 0.5, "", True).change is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.9, "0.9"), (1 / 3, "0.333333"), (1234567.0, "1234567"), (-0.25, "-0.25")],
)
def test_numbers_as_displayed(value: float, text: str) -> None:
    assert thresholds.format_number(value) == text
