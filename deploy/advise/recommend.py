"""Recommendations from answers, by limits and preferences; nothing is asked or written here."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.advise import options
from deploy.advise.answers import Answers
from deploy.advise.concessions import list_concessions
from deploy.advise.environments import Environment
from deploy.advise.options import (
    STATUS,
    Fact,
    Limit,
    Option,
    Preference,
    list_azure_options,
    load_options,
)
from deploy.advise.preferences import CONFIGURED, PRODUCTION, list_preferences

# Kilobytes in a megabyte, in units of bandwidth.
KILO = 1000


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
    # Reasons for other targets.
    objections: tuple[Reason, ...] = ()
    # Hard limits that rule options out.
    exclusions: tuple[Reason, ...] = ()
    # Options that fit as well, but are not installed.
    redundant_options: tuple[Reason, ...] = ()
    # Without a target, ways to any option; with an extension as the target, ways to an installed
    # target.
    alternatives: tuple[Alternative, ...] = ()

    @property
    def option(self) -> Option | None:
        """Return the option that is the target."""
        return load_options()[self.target] if self.target else None

    @property
    def is_extension(self) -> bool:
        """Return whether the target must be installed or written first."""
        return self.option is not None and not self.option.is_installed


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
        item.target
        for item in firm_recommendations.values()
        if item.option and item.option.runs_in_azure and item.option.is_installed
    }
    production = targets.pop() if len(targets) == 1 else None
    return tuple(
        firm_recommendations.get(item.name)
        or _recommend_target(relax_for_trial(answers), item, production)
        for item in all_environments
    )


def clear_cache() -> None:
    """Read the options again at the next use, because an extension was installed."""
    options.clear_cache()
    list_preferences.cache_clear()
    list_concessions.cache_clear()


def relax_for_trial(answers: Answers) -> Answers:
    """Return the answers for a trial environment: requirements of production use do not count."""
    return dataclasses.replace(answers, domain=False, zones=False, rollout="at-once")


def build_context(answers: Answers, environment: Environment) -> dict[str, Any]:
    """Return the values on which conditions in advice files depend, without `installed`."""
    return {**_derive_values(answers), "trial": environment.is_trial}


@functools.lru_cache(maxsize=16)
def _derive_values(answers: Answers) -> dict[str, Any]:
    return {
        **vars(answers),
        "bandwidth": answers.peak * answers.body / KILO,
        "connections": answers.peak * answers.longest,
    }


def find_exceeded_limits(option: Option, answers: Answers) -> tuple[Limit, ...]:
    """Return the limits of `option` that the answers exceed; they depend on nothing else."""
    values = _derive_values(answers)
    return tuple(limit for limit in option.limits if limit.exceeded.holds(values))


def find_remaining_limits(option: Option, answers: Answers) -> tuple[Limit, ...]:
    """Return the limits of `option` that the answers do not exceed, but later answers could."""
    exceeded = find_exceeded_limits(option, answers)
    return tuple(limit for limit in option.limits if limit not in exceeded)


def _recommend_target(
    answers: Answers, environment: Environment, production: str | None
) -> Recommendation:
    if environment.is_local:
        return _recommend_local(answers, environment)
    azure_options = list_azure_options()
    exceeded_limits = {
        option.name: find_exceeded_limits(option, answers) for option in azure_options
    }
    exclusions = tuple(
        Reason(limit.option, limit.requirement, limit.fact)
        for limits in exceeded_limits.values()
        for limit in limits
    )
    context = {
        **build_context(answers, environment),
        PRODUCTION: production,
        CONFIGURED: environment.configured_target,
    }
    fitting = [option for option in azure_options if not exceeded_limits[option.name]]
    installed = [option for option in fitting if option.is_installed]
    if not installed:
        return _recommend_extension(environment, answers, context, fitting, exclusions)
    applicable = [item for item in list_preferences() if item.when.holds(context)]
    # Unconditional preferences count only if no other preference applies.
    arguments = [_to_reason(item) for item in applicable if item.when.names]
    fallbacks = [_to_reason(item) for item in applicable if not item.when.names]
    names = [option.name for option in installed]
    if len(installed) == 1:
        explanation = "it is the only supported target without an exceeded limit"
        decisive = [Reason(names[0], explanation, installed[0].facts[STATUS]), *arguments]
    else:
        decisive = [item for item in arguments or fallbacks if item.option in names]
        explanation = "no preference applies, and it is the first target without an exceeded limit"
        decisive = decisive or [Reason(names[0], explanation, installed[0].facts[STATUS])]
    target = decisive[0].option
    return Recommendation(
        environment,
        answers,
        target,
        tuple(item for item in decisive if item.option == target),
        tuple(item for item in arguments if item.option != target),
        exclusions,
        tuple(
            Reason(
                option.name,
                "would also work with an extension, which you do not need",
                option.facts[STATUS],
            )
            for option in fitting
            if not option.is_installed
        ),
    )


def _recommend_local(answers: Answers, environment: Environment) -> Recommendation:
    option = next(option for option in load_options().values() if not option.runs_in_azure)
    explanation = "environments.yaml has no Azure keys for this environment"
    reason = Reason(option.name, explanation, option.facts[STATUS])
    return Recommendation(environment, answers, option.name, (reason,))


def _recommend_extension(
    environment: Environment,
    answers: Answers,
    context: Mapping[str, Any],
    fitting: Sequence[Option],
    exclusions: tuple[Reason, ...],
) -> Recommendation:
    production = context[PRODUCTION]
    if not fitting:
        alternatives = tuple(_find_alternatives(environment, answers, production))
        return Recommendation(
            environment, answers, None, exclusions, (), exclusions, (), alternatives
        )
    preferred = [
        (option, preference)
        for option in fitting
        for preference in option.preferences
        if preference.when.holds(context)
    ]
    option = preferred[0][0] if preferred else fitting[0]
    explanation = "no installed target fits, and this option does, with an extension"
    reasons = [Reason(option.name, explanation, option.facts[STATUS])]
    if preferred and len(fitting) > 1:
        reasons.append(_to_reason(preferred[0][1]))
    others = tuple(
        Reason(other.name, "would also work with an extension", other.facts[STATUS])
        for other in fitting
        if other is not option
    )
    alternatives = tuple(_find_alternatives(environment, answers, production, installed_only=True))
    return Recommendation(
        environment, answers, option.name, tuple(reasons), (), exclusions, others, alternatives
    )


def _to_reason(preference: Preference) -> Reason:
    return Reason(preference.option, preference.explanation, preference.fact)


def _find_alternatives(
    environment: Environment,
    answers: Answers,
    production: str | None,
    *,
    installed_only: bool = False,
) -> Iterator[Alternative]:
    """Yield for each question the first changed answer with which an option fits.

    The alternative's target is the recommendation for the changed answers.
    """
    candidates = [
        option for option in list_azure_options() if option.is_installed or not installed_only
    ]
    answered_questions = set()
    for name, value, is_stricter in list_concessions():
        if name in answered_questions or not is_stricter(answers):
            continue
        changed: Answers = dataclasses.replace(answers, **{name: value})
        if all(find_exceeded_limits(option, changed) for option in candidates):
            continue
        if target := _recommend_target(changed, environment, production).target:
            answered_questions.add(name)
            yield Alternative(name, value, target)
