"""The questions of the advice, and the answers to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.core.errors import DeployError, Problem, suggest_nearest

YES, NO = "yes", "no"
# Abbreviations that are accepted on input.
ANSWER_ABBREVIATIONS = {"y": YES, "n": NO}


@dataclass(frozen=True)
class Question:
    """A question that affects the recommendation."""

    name: str
    text: str
    # The answer that is assumed without input.
    default: str
    # The possible answers and their meanings; empty for a number above 0 in `unit`.
    choices: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""

    @property
    def flag(self) -> str:
        """Return the command-line flag that answers the question."""
        return "--" + self.name.replace("_", "-")

    def parse_answer(self, text: str) -> Any:
        """Return an answer as a number, a choice or a boolean. Raise `DeployError` if invalid."""
        if self.choices:
            if YES in self.choices:
                text = ANSWER_ABBREVIATIONS.get(text.lower(), text)
            if text not in self.choices:
                what = f"{text!r} is not a valid answer"
                raise DeployError(self.flag, what, suggest_nearest(text, self.choices))
            return text == YES if YES in self.choices else text
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            what = f"{text!r} is not a number above 0"
            raise DeployError(self.flag, what, f"enter {self.unit}, such as {self.default}")
        return number

    def format_answer(self, value: Any) -> str:
        """Return an answer in readable form."""
        if isinstance(value, bool):
            return YES if value else NO
        return f"{value:.15g} {self.unit}" if isinstance(value, float) else str(value)


def _number_question(name: str, text: str, unit: str, default: str) -> Question:
    return Question(name, text, default, unit=unit)


def _yes_no_question(name: str, text: str) -> Question:
    return Question(name, text, NO, {YES: "", NO: ""})


QUESTIONS = (
    _number_question("longest", "How long does the longest answer take?", "s", "60"),
    _yes_no_question("streaming", "Is the answer a stream?"),
    _yes_no_question("cold_starts", "Is a cold start acceptable after a pause?"),
    _number_question(
        "peak", "How many requests a second are there at peak load?", "requests/s", "10"
    ),
    _number_question("body", "How large is a request, including images?", "kB", "16"),
    _yes_no_question("idle", "Are there no requests for most of the day?"),
    Question(
        "cost",
        "What may the flow cost without requests?",
        "instances",
        {"instances": "the cost of idle instances", "zero": "nothing"},
    ),
    Question(
        "network",
        "Where are the clients?",
        "public",
        {
            "public": "the internet",
            "vnet": "a virtual network; a public address is acceptable",
            "private": "a virtual network, without any public address",
        },
    ),
    Question(
        "clients",
        "How do clients authenticate?",
        "key",
        {
            "key": "programs with a key",
            "services": "programs with an Entra identity",
            "users": "people who sign in with Entra",
            "anyone": "not at all",
        },
    ),
    Question(
        "team",
        "What does the team that operates the flow work with?",
        "any",
        {
            "any": "none of these",
            "ml": "a workspace of Azure Machine Learning",
            "web": "web apps",
            "kubernetes": "a cluster",
        },
    ),
    _yes_no_question("domain", "Do clients use a custom domain?"),
    _yes_no_question("zones", "Must the flow survive the loss of an availability zone?"),
    Question(
        "rollout",
        "How does a new version get traffic?",
        "at-once",
        {
            "at-once": "all requests, once it is verified",
            "percent": "step by step, by percentage",
            "mirror": "mirrored requests first, then step by step",
        },
    ),
)


@dataclass(frozen=True)
class Answers:
    """One answer to each question."""

    # Seconds.
    longest: float
    streaming: bool
    cold_starts: bool
    # Requests a second.
    peak: float
    # Kilobytes.
    body: float
    idle: bool
    cost: str
    network: str
    clients: str
    team: str
    domain: bool
    zones: bool
    rollout: str
    # The names of the questions whose default was used.
    assumed: frozenset[str] = frozenset()


def collect_answers(
    given_answers: Mapping[str, str | None], ask: Callable[[Question], str] | None = None
) -> Answers:
    """Return the answers: `given_answers` by a question's name, and the rest from `ask`.

    Without `ask`, the rest are defaults. Raise one `DeployError` with all invalid answers, before
    anything is asked.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for question in QUESTIONS:
        text = given_answers.get(question.name)
        if text is None:
            continue
        try:
            values[question.name] = question.parse_answer(text)
        except DeployError as error:
            problems += error.problems
    if problems:
        raise DeployError.from_problems(problems)
    missing = [question for question in QUESTIONS if question.name not in values]
    for question in missing:
        values[question.name] = question.parse_answer(ask(question) if ask else question.default)
    assumed = frozenset() if ask else frozenset(question.name for question in missing)
    return Answers(**values, assumed=assumed)
