"""Preferences among supported targets, used if hard limits leave more than one.

They are ordered: the first that applies decides, and the advice lists the others. Nothing is
weighted with numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deploy.advise import facts
from deploy.advise.answers import Answers
from deploy.advise.environments import ENVIRONMENTS, Environment
from deploy.advise.facts import APPSERVICE, AZUREML, Fact, Source


@dataclass(frozen=True)
class PreferenceContext:
    """The values on which a preference depends."""

    answers: Answers
    environment: Environment
    # The target of the production environments, if they have the same one.
    production: str | None = None


@dataclass(frozen=True)
class Preference:
    """A reason that favors one target."""

    option: str
    explanation: str
    # The fact behind the explanation.
    fact: Fact
    applies: Callable[[PreferenceContext], bool]


def _prefer_configured_target(option: str) -> Preference:
    fact = Fact("it is named there", Source(ENVIRONMENTS, ENVIRONMENTS))
    explanation = f"{ENVIRONMENTS} has a place for it, and none for the other"
    return Preference(
        option, explanation, fact, lambda case: case.environment.configured_target == option
    )


def _prefer_production_target(option: str) -> Preference:
    explanation = "what is tried here should run where people will rely on it"
    return Preference(option, explanation, facts.ONE_IMAGE, lambda case: case.production == option)


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
    _prefer_production_target(AZUREML),
    _prefer_production_target(APPSERVICE),
    _prefer_configured_target(AZUREML),
    _prefer_configured_target(APPSERVICE),
    Preference(
        APPSERVICE,
        "nothing else decides: a slot costs nothing beside the plan, and an endpoint's version "
        "that is kept for a rollback does",
        facts.SITE_BILLED,
        lambda case: True,
    ),
)


def find_applicable(context: PreferenceContext) -> tuple[Preference, ...]:
    """Return the preferences that apply, the strongest first; never empty."""
    return tuple(preference for preference in PREFERENCES if preference.applies(context))
