"""Judging a flow's answer to its sample."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.targets import verification


@pytest.mark.parametrize(
    ("answer", "expect", "problems"),
    [
        ({"a": "x", "n": 1}, {"a": "string", "n": "number"}, []),
        ({"a": "x", "more": 1}, {"a": "string"}, []),
        ("text", "string", []),
        ({}, "object", []),
        ({"a": "x"}, {"a": "string", "b": "list"}, ["b is missing"]),
        ({"a": None}, {"a": "string"}, ["a: string expected, not null"]),
        ({"a": ""}, {"a": "string"}, ["a: string expected, not an empty string"]),
        ({"a": True}, {"a": "integer"}, ["a: integer expected, not boolean"]),
        ({"a": 1.5}, {"a": "integer"}, ["a: integer expected, not number"]),
        (["x"], {"a": "string"}, ["an object with a expected, not list"]),
        (1, "string", ["string expected, not integer"]),
    ],
)
def test_judging_answers(answer: Any, expect: Any, problems: list[str]) -> None:
    assert verification.find_mismatches(answer, expect) == problems
