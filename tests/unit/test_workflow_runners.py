"""The runners of workflow files that tests use: unknown syntax fails."""

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
def test_unknown_syntax_fails(expression: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        evaluate(expression, NAMES, github.FUNCTIONS)


def test_expressions_are_replaced_everywhere() -> None:
    given = {"a": ["${{ inputs.to }}-${{ steps.a-b.outputs.n }}", 1], "b": "${{ fromJSON('{}') }}"}
    assert fill(given, NAMES, github.FUNCTIONS) == {"a": ["prod-2", 1], "b": {}}
