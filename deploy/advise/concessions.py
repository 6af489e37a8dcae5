"""Answers to change if no target fits, the smallest concession first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from deploy.advise.answers import Answers
from deploy.advise.options import list_azure_options


@functools.cache
def list_concessions() -> tuple[tuple[str, Any, Callable[[Answers], bool]], ...]:
    """Return answers to change if nothing fits, the smallest concession first.

    Each has the question, its new answer, and whether that answer relaxes the present one.
    """
    seconds = {
        limit.exceeded.thresholds["longest"]
        for option in list_azure_options()
        if option.is_installed
        for limit in option.limits
        if "longest" in limit.exceeded.thresholds
    }
    return (
        ("cold_starts", True, lambda answers: not answers.cold_starts),
        ("rollout", "at-once", lambda answers: answers.rollout != "at-once"),
        ("streaming", True, lambda answers: not answers.streaming),
        *(
            ("longest", value, functools.partial(_takes_longer, value))
            for value in sorted(seconds, reverse=True)
        ),
        ("cost", "instances", lambda answers: answers.cost == "zero"),
    )


def _takes_longer(seconds: float, answers: Answers) -> bool:
    return answers.longest > seconds
