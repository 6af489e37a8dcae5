"""Recommendations from answers, by rules alone: nothing is read, asked or written here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.advise import facts, limits, preferences
from deploy.advise.answers import Answers
from deploy.advise.environments import Environment
from deploy.advise.facts import (
    AKS,
    CONTAINERAPPS,
    EXTENSION_OPTIONS,
    LOCAL,
    OPTIONS,
    SUPPORTED_OPTIONS,
    Fact,
)
from deploy.advise.limits import Limit
from deploy.advise.preferences import PreferenceContext

# The status of each extension.
_EXTENSION_STATUS = {CONTAINERAPPS: facts.APPS_HERE, AKS: facts.AKS_HERE}
# Answers to change if no supported target fits, the smallest concession first: the question, its
# new answer, and whether that answer relaxes the present one.
CONCESSIONS: tuple[tuple[str, Any, Callable[[Answers], bool]], ...] = (
    ("cold_starts", True, lambda a: not a.cold_starts),
    ("rollout", "at-once", lambda a: a.rollout != "at-once"),
    ("streaming", True, lambda a: not a.streaming),
    ("longest", float(facts.SITE_SECONDS), lambda a: a.longest > facts.SITE_SECONDS),
    ("longest", float(facts.ML_SECONDS), lambda a: a.longest > facts.ML_SECONDS),
    ("cost", "instances", lambda a: a.cost == "zero"),
)


@dataclass(frozen=True)
class Reason:
    """A reason for or against an option, and the fact behind it."""

    option: str
    explanation: str
    fact: Fact


@dataclass(frozen=True)
class Alternative:
    """A single changed answer with which a target fits that does not fit now."""

    question: str
    value: Any
    target: str


@dataclass(frozen=True)
class Recommendation:
    """Where a flow should run in one environment."""

    environment: Environment
    # The answers that count in this environment.
    answers: Answers
    # None if nothing fits.
    target: str | None
    # The first reason decides.
    reasons: tuple[Reason, ...]
    # What speaks for the other target.
    objections: tuple[Reason, ...] = ()
    # Hard limits that rule options out.
    exclusions: tuple[Reason, ...] = ()
    # Options that fit as well, but need an extension.
    redundant_options: tuple[Reason, ...] = ()
    # Without a target, ways to any option; with an extension as the target, ways to a supported
    # target.
    alternatives: tuple[Alternative, ...] = ()

    @property
    def is_extension(self) -> bool:
        """Return whether the target needs an extension."""
        return self.target in EXTENSION_OPTIONS


def recommend_targets(
    answers: Answers, environments: Iterable[Environment]
) -> tuple[Recommendation, ...]:
    """Return a recommendation for each of `environments`, in their order."""
    all_environments = tuple(environments)
    firm_recommendations = {
        item.name: _recommend_target(answers, item, None)
        for item in all_environments
        if not item.is_trial
    }
    targets = {
        item.target for item in firm_recommendations.values() if item.target in SUPPORTED_OPTIONS
    }
    production = targets.pop() if len(targets) == 1 else None
    return tuple(
        firm_recommendations.get(item.name)
        or _recommend_target(relax_for_trial(answers), item, production)
        for item in all_environments
    )


def relax_for_trial(answers: Answers) -> Answers:
    """Return the answers for a trial environment: requirements of production use do not count."""
    return dataclasses.replace(answers, domain=False, zones=False, rollout="at-once")


def _recommend_target(
    answers: Answers, environment: Environment, production: str | None
) -> Recommendation:
    if environment.is_local:
        explanation = "environments.yaml names nothing in Azure for it"
        reason = Reason(LOCAL, explanation, facts.LOCAL_HERE)
        return Recommendation(environment, answers, LOCAL, (reason,))
    exceeded_limits = {option: limits.find_exceeded_limits(option, answers) for option in OPTIONS}
    exclusions = tuple(
        Reason(option, limit.requirement, limit.fact)
        for option in OPTIONS
        for limit in exceeded_limits[option]
    )
    fitting = [option for option in SUPPORTED_OPTIONS if not exceeded_limits[option]]
    if not fitting:
        return _recommend_extension(environment, answers, production, exceeded_limits, exclusions)
    arguments = tuple(
        Reason(argument.option, argument.explanation, argument.fact)
        for argument in preferences.find_applicable(
            PreferenceContext(answers, environment, production)
        )
    )
    if len(fitting) == 1:
        target = fitting[0]
        only_reason = Reason(
            target, "the only supported target that can do it", facts.SUPPORTED_HERE
        )
        reasons = (
            only_reason,
            *(argument for argument in arguments[:-1] if argument.option == target),
        )
    else:
        target = arguments[0].option
        # The last preference always applies: it is a reason only if no other preference applies.
        reasons = tuple(
            argument for argument in arguments[:-1] or arguments if argument.option == target
        )
    objections = tuple(argument for argument in arguments[:-1] if argument.option != target)
    redundant_options = tuple(
        Reason(option, "would do by an extension, and a supported target does", status)
        for option, status in _EXTENSION_STATUS.items()
        if not exceeded_limits[option]
    )
    return Recommendation(
        environment, answers, target, reasons, objections, exclusions, redundant_options
    )


def _recommend_extension(
    environment: Environment,
    answers: Answers,
    production: str | None,
    exceeded_limits: Mapping[str, Sequence[Limit]],
    exclusions: tuple[Reason, ...],
) -> Recommendation:
    order = (AKS, CONTAINERAPPS) if answers.team == "kubernetes" else EXTENSION_OPTIONS
    fitting = [option for option in order if not exceeded_limits[option]]
    if not fitting:
        alternatives = tuple(_find_alternatives(environment, answers, production, OPTIONS))
        return Recommendation(
            environment, answers, None, exclusions, (), exclusions, (), alternatives
        )
    target = fitting[0]
    explanation = "no supported target can do it, and this one can, by an extension"
    reasons = [Reason(target, explanation, _EXTENSION_STATUS[target])]
    if target == AKS and CONTAINERAPPS in fitting:
        reasons.append(Reason(target, "the team runs a cluster already", facts.AKS_MADE))
    others = tuple(
        Reason(option, "would do by an extension as well", _EXTENSION_STATUS[option])
        for option in fitting[1:]
    )
    alternatives = tuple(_find_alternatives(environment, answers, production, SUPPORTED_OPTIONS))
    return Recommendation(
        environment, answers, target, tuple(reasons), (), exclusions, others, alternatives
    )


def _find_alternatives(
    environment: Environment, answers: Answers, production: str | None, options: Sequence[str]
) -> Iterator[Alternative]:
    """Yield for each question the first changed answer with which one of `options` fits.

    The alternative's target is the recommendation for the changed answers.
    """
    answered_questions = set()
    for name, value, is_stricter in CONCESSIONS:
        if name in answered_questions or not is_stricter(answers):
            continue
        changed: Answers = dataclasses.replace(answers, **{name: value})
        if all(limits.find_exceeded_limits(option, changed) for option in options):
            continue
        if target := _recommend_target(changed, environment, production).target:
            answered_questions.add(name)
            yield Alternative(name, value, target)
