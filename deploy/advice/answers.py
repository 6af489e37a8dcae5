"""The questions, and what somebody answers to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.errors import DeployError, Problem, nearest

YES, NO = "yes", "no"
# What people type for them.
SHORT = {"y": YES, "n": NO}


@dataclass(frozen=True)
class Question:
    """One thing that decides; `default` holds where nobody answers.

    `choices` maps what may be answered to what it means; without them it is a number above 0, in
    `unit`.
    """

    name: str
    text: str
    default: str
    choices: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""

    @property
    def flag(self) -> str:
        """The flag that answers it."""
        return "--" + self.name.replace("_", "-")

    def read(self, text: str) -> Any:
        """Return what `text` answers: a number, a choice, or whether. Raises `DeployError`."""
        if self.choices:
            if YES in self.choices:
                text = SHORT.get(text.lower(), text)
            if text not in self.choices:
                what = f"{text!r} is none of the answers"
                raise DeployError(self.flag, what, nearest(text, self.choices))
            return text == YES if YES in self.choices else text
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            what = f"{text!r} is no number above 0"
            raise DeployError(self.flag, what, f"in {self.unit}, such as {self.default}")
        return number

    def show(self, value: Any) -> str:
        """Return an answer as people write it."""
        if isinstance(value, bool):
            return YES if value else NO
        return f"{value:.15g} {self.unit}" if isinstance(value, float) else str(value)


def _number(name: str, text: str, unit: str, default: str) -> Question:
    return Question(name, text, default, unit=unit)


def _whether(name: str, text: str) -> Question:
    return Question(name, text, NO, {YES: "", NO: ""})


QUESTIONS = (
    _number("longest", "How long until all of the longest answer is there?", "s", "60"),
    _whether("streaming", "Does the answer come in pieces, as a stream?"),
    _whether("cold_starts", "May the first request after a pause wait for a start?"),
    _number("peak", "How many requests a second are there at the peak?", "requests/s", "10"),
    _number("body", "How large is a request, with its pictures?", "kB", "16"),
    _whether("idle", "Is it unused for most of the day?"),
    Question(
        "cost",
        "What may it cost while nobody asks?",
        "instances",
        {"instances": "instances that wait are paid for", "zero": "nothing"},
    ),
    Question(
        "network",
        "From where do callers come?",
        "public",
        {
            "public": "the internet",
            "vnet": "a virtual network; an address in the internet does no harm",
            "private": "a virtual network, and there may be no other way in",
        },
    ),
    Question(
        "callers",
        "How are callers let in?",
        "key",
        {
            "key": "programs with a key",
            "services": "programs with an Entra identity",
            "users": "people who log in with Entra",
            "anyone": "without asking",
        },
    ),
    Question(
        "team",
        "What does the team that runs it work with?",
        "any",
        {
            "any": "nothing of these",
            "ml": "a workspace of Azure Machine Learning",
            "web": "web apps",
            "kubernetes": "a cluster",
        },
    ),
    _whether("domain", "Do callers use a domain of yours?"),
    _whether("zones", "Must it survive the loss of a zone?"),
    Question(
        "rollout",
        "How does a new version get its requests?",
        "at-once",
        {
            "at-once": "all of them, once it is proved",
            "percent": "step by step, by per cent",
            "mirror": "copies of them first, then step by step",
        },
    ),
)


@dataclass(frozen=True)
class Answers:
    """One answer to each question. `assumed` names those that nobody gave.

    `longest` is in seconds, `peak` in requests a second, `body` in kilobytes.
    """

    longest: float
    streaming: bool
    cold_starts: bool
    peak: float
    body: float
    idle: bool
    cost: str
    network: str
    callers: str
    team: str
    domain: bool
    zones: bool
    rollout: str
    assumed: frozenset[str] = frozenset()


def read(given: Mapping[str, str | None], ask: Callable[[Question], str] | None = None) -> Answers:
    """Return the answers: those `given`, by a question's name, and for the rest what `ask` says.

    Without `ask`, the rest is assumed. Raises one `DeployError` with all that cannot be read,
    before anything is asked.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for question in QUESTIONS:
        text = given.get(question.name)
        if text is None:
            continue
        try:
            values[question.name] = question.read(text)
        except DeployError as error:
            problems += error.problems
    if problems:
        raise DeployError.of(problems)
    missing = [question for question in QUESTIONS if question.name not in values]
    for question in missing:
        values[question.name] = question.read(ask(question) if ask else question.default)
    assumed = frozenset() if ask else frozenset(question.name for question in missing)
    return Answers(**values, assumed=assumed)
