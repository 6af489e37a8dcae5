"""The runners of workflows that tests use: what they do not know fails, and is not passed over."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workflows import azure_devops, github
from tests.workflows.expressions import evaluate, fill

NAMES = {"inputs": {"from": "", "to": "prod"}, "steps": {"a-b": {"outputs": {"n": "2"}}}}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("inputs.from == ''", True),
        ("inputs.from != '' || inputs.to == 'prod'", True),
        ("inputs.from != '' && inputs.to == 'prod'", False),
        ("!(inputs.to == 'dev')", True),
        ("steps.a-b.outputs.n", "2"),
        ("steps['a-b'].outputs['n'] == '2'", True),
        ("'it''s'", "it's"),
        ("fromJSON('[1]')", [1]),
    ],
)
def test_expressions_of_github(expression: str, value: Any) -> None:
    assert evaluate(expression, NAMES, github.FUNCTIONS) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("and(succeeded(), eq(inputs.to, 'prod'))", True),
        ("and(succeeded(), eq(inputs.to, 'dev'))", False),
        ("not(inputs.from)", True),
    ],
)
def test_expressions_of_azure_devops(expression: str, value: Any) -> None:
    assert evaluate(expression, NAMES, azure_devops.FUNCTIONS) == value


@pytest.mark.parametrize(
    "expression",
    ["secrets.KEY", "inputs.form", "always()", "inputs.to >= 'a'", "inputs.to inputs.to", "", "(1"],
)
def test_what_is_not_known_fails(expression: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        evaluate(expression, NAMES, github.FUNCTIONS)


def test_values_are_filled_in_wherever_they_stand() -> None:
    given = {"a": ["${{ inputs.to }}-${{ steps.a-b.outputs.n }}", 1], "b": "${{ fromJSON('{}') }}"}
    assert fill(given, NAMES, github.FUNCTIONS) == {"a": ["prod-2", 1], "b": {}}
