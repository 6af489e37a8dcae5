"""What speaks for one supported target, where no hard limit leaves a single one.

They are in order: the first that applies decides, and the others are told beside it. No numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deploy.advice import facts
from deploy.advice.answers import Answers
from deploy.advice.facts import APPSERVICE, AZUREML, Fact, Source
from deploy.advice.places import ENVIRONMENTS, Environment


@dataclass(frozen=True)
class Case:
    """What a preference looks at; `production` is the target of the environment relied on."""

    answers: Answers
    environment: Environment
    production: str | None = None


@dataclass(frozen=True)
class Preference:
    """`says` is why, in words; `fact` is what makes it so."""

    option: str
    says: str
    fact: Fact
    applies: Callable[[Case], bool]


def _there(option: str) -> Preference:
    fact = Fact("it is named there", Source(ENVIRONMENTS, ENVIRONMENTS))
    says = f"{ENVIRONMENTS} has a place for it, and none for the other"
    return Preference(option, says, fact, lambda case: case.environment.place == option)


def _as_production(option: str) -> Preference:
    says = "what is tried here should run where people will rely on it"
    return Preference(option, says, facts.ONE_IMAGE, lambda case: case.production == option)


PREFERENCES = (
    Preference(
        APPSERVICE,
        "people log in with Entra: the platform checks their tokens, and an app registration says "
        "who is let in; an endpoint wants a role for each of them",
        facts.SITE_CALLERS,
        lambda case: case.answers.callers == "users",
    ),
    Preference(
        APPSERVICE,
        "callers use a domain of yours, which is built in; an endpoint needs a gateway before it",
        facts.SITE_DOMAIN,
        lambda case: case.answers.domain,
    ),
    Preference(
        APPSERVICE,
        "there may be no other way in than the network: one line here closes the public address; "
        "this project makes an endpoint with one, until somebody closes it by hand",
        facts.SITE_NETWORK,
        lambda case: case.answers.network == "private",
    ),
    Preference(
        AZUREML,
        "the team works with a workspace: endpoints, their metrics and their costs are there",
        facts.ML_VIEW,
        lambda case: case.answers.team == "ml",
    ),
    Preference(
        APPSERVICE,
        "the team runs web apps: a site is one more of them",
        facts.SITE_MADE,
        lambda case: case.answers.team == "web",
    ),
    Preference(
        APPSERVICE,
        "a stream goes on for as long as something comes; an endpoint counts all of it",
        facts.SITE_STREAMED,
        lambda case: case.answers.streaming,
    ),
    Preference(
        APPSERVICE,
        "nobody asks for most of the day: sites of several flows share a plan's instances, and "
        "each endpoint has its own",
        facts.SITE_BILLED,
        lambda case: case.answers.idle,
    ),
    _as_production(AZUREML),
    _as_production(APPSERVICE),
    _there(AZUREML),
    _there(APPSERVICE),
    Preference(
        APPSERVICE,
        "nothing else decides: a slot costs nothing beside the plan, and an endpoint's version "
        "that is kept for a rollback does",
        facts.SITE_BILLED,
        lambda case: True,
    ),
)


def applying(case: Case) -> tuple[Preference, ...]:
    """Return the preferences that apply, the strongest first; there is always one."""
    return tuple(one for one in PREFERENCES if one.applies(case))
