"""The hard limits: what an option cannot do, whatever else speaks for it.

Each looks at the answers alone, and a stricter answer never ends one that holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deploy.advice import facts
from deploy.advice.answers import Answers
from deploy.advice.facts import AKS, APPSERVICE, AZUREML, CONTAINERAPPS, FUNCTIONS, Fact

# Of kilobytes in a megabyte, as bandwidth counts them.
KILO = 1000


@dataclass(frozen=True)
class Limit:
    """`breaks` says whether an answer is beyond it; `wish` is what that answer asks for, in words.

    `wish` is also what would rule the option out later.
    """

    option: str
    fact: Fact
    wish: str
    breaks: Callable[[Answers], bool]


def _rate(answers: Answers) -> float:
    """Return megabytes of requests a second at the peak."""
    return answers.peak * answers.body / KILO


def _silent(answers: Answers, seconds: int) -> bool:
    """Return whether nothing may come for so long: a stream shows a sign now and then."""
    return answers.longest > seconds and not answers.streaming


LIMITS = (
    Limit(
        AZUREML,
        facts.ML_LONGEST,
        f"an answer that takes longer than {facts.ML_SECONDS} s, also as a stream",
        lambda a: a.longest > facts.ML_SECONDS,
    ),
    Limit(
        AZUREML,
        facts.ML_CAPS,
        f"more than {facts.ML_RATE} requests a second",
        lambda a: a.peak > facts.ML_RATE,
    ),
    Limit(
        AZUREML,
        facts.ML_CAPS,
        f"more than {facts.ML_BANDWIDTH} MB of requests a second",
        lambda a: _rate(a) > facts.ML_BANDWIDTH,
    ),
    Limit(
        AZUREML,
        facts.ML_IDLE,
        "no cost while nobody asks",
        lambda a: a.cost == "zero",
    ),
    Limit(
        AZUREML,
        facts.ML_CALLERS,
        "callers that are let in without being asked",
        lambda a: a.callers == "anyone",
    ),
    Limit(
        APPSERVICE,
        facts.SITE_LONGEST,
        f"an answer that takes longer than {facts.SITE_SECONDS} s and is no stream",
        lambda a: _silent(a, facts.SITE_SECONDS),
    ),
    Limit(
        APPSERVICE,
        facts.SITE_IDLE,
        "no cost while nobody asks",
        lambda a: a.cost == "zero",
    ),
    Limit(
        APPSERVICE,
        facts.SITE_ROLLOUT,
        "a new version that gets its requests by per cent, or copies of them",
        lambda a: a.rollout != "at-once",
    ),
    Limit(
        CONTAINERAPPS,
        facts.APPS_LONGEST,
        f"an answer that takes longer than {facts.APPS_PREMIUM_SECONDS} s and is no stream",
        lambda a: _silent(a, facts.APPS_PREMIUM_SECONDS),
    ),
    Limit(
        CONTAINERAPPS,
        facts.APPS_LONGEST,
        f"no cost while nobody asks, and an answer that takes longer than {facts.APPS_SECONDS} s "
        "and is no stream: the nodes of premium ingress are always there",
        lambda a: a.cost == "zero" and _silent(a, facts.APPS_SECONDS),
    ),
    Limit(
        CONTAINERAPPS,
        facts.APPS_IDLE,
        "no cost while nobody asks, and no cold start: what is not there must start first",
        lambda a: a.cost == "zero" and not a.cold_starts,
    ),
    Limit(
        CONTAINERAPPS,
        facts.APPS_ROLLOUT,
        "copies of requests for a new version",
        lambda a: a.rollout == "mirror",
    ),
    Limit(
        AKS,
        facts.AKS_NODES,
        "no cost while nobody asks",
        lambda a: a.cost == "zero",
    ),
    Limit(
        FUNCTIONS,
        facts.FUNCTIONS_MODEL,
        "a server in an image, which a flow is",
        lambda a: True,
    ),
)


def broken(option: str, answers: Answers) -> tuple[Limit, ...]:
    """Return the limits of `option` that the answers are beyond."""
    return tuple(one for one in LIMITS if one.option == option and one.breaks(answers))


def standing(option: str, answers: Answers) -> tuple[Limit, ...]:
    """Return the limits of `option` that hold so far: what would rule it out later."""
    return tuple(one for one in LIMITS if one.option == option and not one.breaks(answers))
