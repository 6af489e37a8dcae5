"""From answers to a recommendation, by rules alone: nothing is read, asked or written here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.advice import facts, limits, preferences
from deploy.advice.answers import Answers
from deploy.advice.facts import AKS, CONTAINERAPPS, EXTENSIONS, LOCAL, OPTIONS, SUPPORTED, Fact
from deploy.advice.limits import Limit
from deploy.advice.places import Environment
from deploy.advice.preferences import Case

# How far each extension is.
_HERE = {CONTAINERAPPS: facts.APPS_HERE, AKS: facts.AKS_HERE}
# What one could change where no supported target fits, the smallest first: which answer into
# which, and for which answers that gives something up.
GIVE_UP: tuple[tuple[str, Any, Callable[[Answers], bool]], ...] = (
    ("cold_starts", True, lambda a: not a.cold_starts),
    ("rollout", "at-once", lambda a: a.rollout != "at-once"),
    ("streaming", True, lambda a: not a.streaming),
    ("longest", float(facts.SITE_SECONDS), lambda a: a.longest > facts.SITE_SECONDS),
    ("longest", float(facts.ML_SECONDS), lambda a: a.longest > facts.ML_SECONDS),
    ("cost", "instances", lambda a: a.cost == "zero"),
)


@dataclass(frozen=True)
class Reason:
    """Why, in words, and the fact that it rests on. `option` is what it is about."""

    option: str
    says: str
    fact: Fact


@dataclass(frozen=True)
class Way:
    """With this one answer changed, `target` fits, which does not now."""

    question: str
    value: Any
    target: str


@dataclass(frozen=True)
class Recommendation:
    """Where a flow should run in one environment.

    `target` is None where nothing fits; then `ways` are not empty: to any option, and where an
    extension is needed, to a supported target. `answers` are those that count there. The first of
    `reasons` decides; `against` speaks for the other. `ruled_out` are hard limits, `not_needed`
    options that fit, but come by an extension.
    """

    environment: Environment
    answers: Answers
    target: str | None
    reasons: tuple[Reason, ...]
    against: tuple[Reason, ...] = ()
    ruled_out: tuple[Reason, ...] = ()
    not_needed: tuple[Reason, ...] = ()
    ways: tuple[Way, ...] = ()

    @property
    def by_extension(self) -> bool:
        """Whether the target is not one that this project has."""
        return self.target in EXTENSIONS


def judge(answers: Answers, environments: Iterable[Environment]) -> tuple[Recommendation, ...]:
    """Return a recommendation for each of `environments`, in their order."""
    every = tuple(environments)
    relied_on = {one.name: _one(answers, one, None) for one in every if not one.trial}
    targets = {one.target for one in relied_on.values() if one.target in SUPPORTED}
    production = targets.pop() if len(targets) == 1 else None
    return tuple(
        relied_on.get(one.name) or _one(for_trial(answers), one, production) for one in every
    )


def for_trial(answers: Answers) -> Answers:
    """Return what counts where things are tried: what only matters to those who rely on it, not."""
    return dataclasses.replace(answers, domain=False, zones=False, rollout="at-once")


def _one(answers: Answers, environment: Environment, production: str | None) -> Recommendation:
    if environment.local:
        says = "environments.yaml names nothing in Azure for it"
        reason = Reason(LOCAL, says, facts.LOCAL_HERE)
        return Recommendation(environment, answers, LOCAL, (reason,))
    out = {option: limits.broken(option, answers) for option in OPTIONS}
    ruled_out = tuple(
        Reason(option, limit.wish, limit.fact) for option in OPTIONS for limit in out[option]
    )
    fitting = [option for option in SUPPORTED if not out[option]]
    if not fitting:
        return _by_extension(environment, answers, production, out, ruled_out)
    speaking = tuple(
        Reason(one.option, one.says, one.fact)
        for one in preferences.applying(Case(answers, environment, production))
    )
    if len(fitting) == 1:
        target = fitting[0]
        only = Reason(target, "the only supported target that can do it", facts.SUPPORTED_HERE)
        reasons = (only, *(one for one in speaking[:-1] if one.option == target))
    else:
        target = speaking[0].option
        # The last preference always applies: it says something only where it is the only one.
        reasons = tuple(one for one in speaking[:-1] or speaking if one.option == target)
    against = tuple(one for one in speaking[:-1] if one.option != target)
    not_needed = tuple(
        Reason(option, "would do by an extension, and a supported target does", here)
        for option, here in _HERE.items()
        if not out[option]
    )
    return Recommendation(environment, answers, target, reasons, against, ruled_out, not_needed)


def _by_extension(
    environment: Environment,
    answers: Answers,
    production: str | None,
    out: Mapping[str, Sequence[Limit]],
    ruled_out: tuple[Reason, ...],
) -> Recommendation:
    order = (AKS, CONTAINERAPPS) if answers.team == "kubernetes" else EXTENSIONS
    fitting = [option for option in order if not out[option]]
    if not fitting:
        ways = tuple(_ways(environment, answers, production, OPTIONS))
        return Recommendation(environment, answers, None, ruled_out, (), ruled_out, (), ways)
    target = fitting[0]
    says = "no supported target can do it, and this one can, by an extension"
    reasons = [Reason(target, says, _HERE[target])]
    if target == AKS and CONTAINERAPPS in fitting:
        reasons.append(Reason(target, "the team runs a cluster already", facts.AKS_MADE))
    others = tuple(
        Reason(option, "would do by an extension as well", _HERE[option]) for option in fitting[1:]
    )
    ways = tuple(_ways(environment, answers, production, SUPPORTED))
    return Recommendation(environment, answers, target, tuple(reasons), (), ruled_out, others, ways)


def _ways(
    environment: Environment, answers: Answers, production: str | None, options: Sequence[str]
) -> Iterator[Way]:
    """Yield for each question the first other answer with which one of `options` fits.

    The target is what is recommended then.
    """
    found = set()
    for name, value, stricter in GIVE_UP:
        if name in found or not stricter(answers):
            continue
        changed: Answers = dataclasses.replace(answers, **{name: value})
        if all(limits.broken(option, changed) for option in options):
            continue
        if target := _one(changed, environment, production).target:
            found.add(name)
            yield Way(name, value, target)
