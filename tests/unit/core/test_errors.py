"""Problems are collected, and the output of programs is quoted."""

from __future__ import annotations

from deploy.core.errors import DeployError, Problem, collect_problems, quote_last_lines


def test_problems_are_collected_and_work_continues() -> None:
    problems = [Problem("a", "first")]
    with collect_problems(problems):
        raise DeployError("b", "second", "hint")
    assert problems == [Problem("a", "first"), Problem("b", "second", "hint")]


def test_the_last_lines_are_quoted_without_empty_ones() -> None:
    assert quote_last_lines(["one", "two  ", "", "three", " "], 2) == "    two\n    three"
