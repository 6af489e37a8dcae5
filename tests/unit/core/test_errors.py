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


def test_last_lines_extend_the_first_problem_and_keep_the_others() -> None:
    problems = [Problem("faq", "it crashed", "see its log"), Problem("chat", "no key", "set it")]
    error = DeployError.from_problems(problems).with_lines(["one", "two"])
    assert error.problems == (
        Problem("faq", "it crashed\n  its last lines:\none\ntwo", "see its log"),
        problems[1],
    )
