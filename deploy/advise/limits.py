"""The hard limits: what an option cannot do, whatever preferences say.

Each limit depends on the answers alone. If an answer exceeds a limit, so does a stricter one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deploy.advise import facts
from deploy.advise.answers import Answers
from deploy.advise.facts import AKS, APPSERVICE, AZUREML, CONTAINERAPPS, FUNCTIONS, Fact

# Kilobytes in a megabyte, in units of bandwidth.
KILO = 1000


@dataclass(frozen=True)
class Limit:
    """A hard limit of an option."""

    option: str
    fact: Fact
    # What an answer beyond the limit requires; also shown as what would rule the option out later.
    requirement: str
    # Return whether the answers exceed the limit.
    is_exceeded: Callable[[Answers], bool]


def _calculate_peak_bandwidth(answers: Answers) -> float:
    """Return the bandwidth of requests at the peak, in megabytes a second."""
    return answers.peak * answers.body / KILO


def _is_silent(answers: Answers, seconds: int) -> bool:
    """Return whether an answer is not a stream and can take longer than `seconds`."""
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
        lambda a: _calculate_peak_bandwidth(a) > facts.ML_BANDWIDTH,
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
        lambda a: _is_silent(a, facts.SITE_SECONDS),
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
        lambda a: _is_silent(a, facts.APPS_PREMIUM_SECONDS),
    ),
    Limit(
        CONTAINERAPPS,
        facts.APPS_LONGEST,
        f"no cost while nobody asks, and an answer that takes longer than {facts.APPS_SECONDS} s "
        "and is no stream: the nodes of premium ingress are always there",
        lambda a: a.cost == "zero" and _is_silent(a, facts.APPS_SECONDS),
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


def find_exceeded_limits(option: str, answers: Answers) -> tuple[Limit, ...]:
    """Return the limits of `option` that the answers exceed."""
    return tuple(limit for limit in LIMITS if limit.option == option and limit.is_exceeded(answers))


def find_remaining_limits(option: str, answers: Answers) -> tuple[Limit, ...]:
    """Return the limits of `option` that the answers do not exceed, but later answers could."""
    return tuple(
        limit for limit in LIMITS if limit.option == option and not limit.is_exceeded(answers)
    )
