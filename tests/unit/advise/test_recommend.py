"""Over every combination of the answers that matter: always some advice, and none that cannot be."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.advise import answers, deploy_yaml
from deploy.advise.answers import QUESTIONS, Answers
from deploy.advise.environments import Environment
from deploy.advise.options import list_azure_options, load_options
from deploy.advise.recommend import Recommendation, find_exceeded_limits, recommend_targets
from deploy.config import configuration
from deploy.config.target_registry import BUILT_IN
from deploy.server.settings import Settings as Container
from deploy.targets.appservice import settings as site
from deploy.targets.azureml import settings as endpoint
from deploy.targets.azureml import vm_sizes
from tests import projects
from tests.integration import installed_extension

LOCAL, AZUREML, APPSERVICE = "local", "azureml", "appservice"
CONTAINERAPPS, AKS, FUNCTIONS = "containerapps", "aks", "functions"
DEFAULTS = answers.collect_answers({})
BARE = Environment("prod", frozenset({"subscription"}))
# Where a limit may lie, from the answer that is easiest to keep to the strictest.
STRICTER: dict[str, tuple[Any, ...]] = {
    "longest": (60.0, 180.0, 181.0, 230.0, 231.0, 240.0, 241.0, 1800.0, 1801.0),
    "streaming": (True, False),
    "cold_starts": (True, False),
    "peak": (10.0, 500.0, 501.0),
    "body": (16.0, 501.0),
    "cost": ("instances", "zero"),
    "clients": ("key", "users", "services", "anyone"),
    "rollout": ("at-once", "percent", "mirror"),
}
# Axes along which every step asks for more. `clients` is none: only its last step does.
ORDERED = [name for name in STRICTER if name != "clients"]
TASTES: dict[str, tuple[Any, ...]] = {
    "network": ("public", "vnet", "private"),
    "team": ("any", "ml", "web", "kubernetes"),
    "domain": (False, True),
    "idle": (False, True),
    "zones": (False, True),
}


def combinations(axes: dict[str, tuple[Any, ...]], **given: Any) -> Iterator[Answers]:
    for values in itertools.product(*axes.values()):
        changed = {**given, **dict(zip(axes, values, strict=True))}
        yield dataclasses.replace(DEFAULTS, **changed)


def impossible(a: Answers) -> set[str]:
    """Return the options that cannot do it, told a second time and without the rules."""
    silent = 0 if a.streaming else a.longest
    out = {FUNCTIONS}
    if a.longest > 180 or a.peak > 500 or a.peak * a.body > 5000:
        out.add(AZUREML)
    if a.clients == "anyone":
        out.add(AZUREML)
    if silent > 230 or a.rollout in ("percent", "mirror"):
        out.add(APPSERVICE)
    if silent > 1800 or a.rollout == "mirror":
        out.add(CONTAINERAPPS)
    if a.cost == "zero":
        out |= {AZUREML, APPSERVICE, AKS}
        if silent > 240 or not a.cold_starts:
            out.add(CONTAINERAPPS)
    return out


def check(found: Recommendation, out: set[str]) -> None:
    assert {one.option for one in found.exclusions} == out
    assert found.reasons
    assert all(one.explanation and one.fact.text and one.fact.source.link for one in found.reasons)
    if found.target is None:
        assert out == {AZUREML, APPSERVICE, CONTAINERAPPS, AKS, FUNCTIONS}
        assert found.alternatives
    else:
        assert found.target not in out
        assert {one.option for one in found.reasons} == {found.target}
        # By an extension only where no supported target can do it.
        assert found.is_extension == ({AZUREML, APPSERVICE} <= out)
        message = {
            one.option for one in (*found.exclusions, *found.redundant_options, *found.objections)
        }
        assert message | {found.target} >= {CONTAINERAPPS, AKS, FUNCTIONS}
    assert found.target not in {one.option for one in found.objections}
    for way in found.alternatives:
        changed: Answers = dataclasses.replace(found.answers, **{way.question: way.value})
        assert way.target not in impossible(changed)
        # Who follows the way gets what it promised.
        (then,) = recommend_targets(changed, [found.environment])
        assert way.target == then.target
        assert found.target is None or way.target in (AZUREML, APPSERVICE)


def test_every_combination_beside_every_limit() -> None:
    seen = set()
    for given in combinations(STRICTER):
        (found,) = recommend_targets(given, [BARE])
        assert (found,) == recommend_targets(given, [BARE])
        check(found, impossible(given))
        seen.add(found.target)
    assert seen == {AZUREML, APPSERVICE, CONTAINERAPPS, AKS, None}


@pytest.mark.parametrize("team", TASTES["team"])
def test_every_combination_of_preferences(team: str) -> None:
    few = {name: STRICTER[name] for name in ("clients", "rollout", "cost", "streaming")}
    longest = {"longest": (60.0, 200.0, 300.0)}
    environments = [
        BARE,
        Environment("dev", frozenset({"subscription", "workspace"})),
        Environment("test", frozenset({"infra"})),
        Environment("local", frozenset()),
    ]
    for given in combinations({**TASTES, **few, **longest, "team": (team,)}):
        prod, dev, test, local = recommend_targets(given, environments)
        check(prod, impossible(given))
        tried = dataclasses.replace(given, domain=False, zones=False, rollout="at-once")
        check(dev, impossible(tried))
        check(test, impossible(tried))
        assert local.target == LOCAL and local.reasons


def test_a_stricter_answer_never_readmits_a_target() -> None:
    for name in ORDERED:
        others = {other: steps for other, steps in STRICTER.items() if other != name}
        for given in combinations(
            {**others, "longest": (60.0, 300.0)} if name != "longest" else others
        ):
            before: set[str] = set()
            for step in STRICTER[name]:
                stricter: Answers = dataclasses.replace(given, **{name: step})
                out = {
                    option.name
                    for option in list_azure_options()
                    if find_exceeded_limits(option, stricter)
                }
                assert out >= before, (name, step, given)
                before = out


def target(environment: Environment = BARE, **given: Any) -> str | None:
    changed: Answers = dataclasses.replace(DEFAULTS, **given)
    return recommend_targets(changed, [environment])[0].target


def test_the_order_of_criteria() -> None:
    workspace = Environment("prod", frozenset({"subscription", "workspace"}))
    assert target() == APPSERVICE
    assert target(workspace) == AZUREML
    assert target(team="ml") == AZUREML
    assert target(workspace, team="web") == APPSERVICE
    assert target(workspace, idle=True) == APPSERVICE
    assert target(team="ml", streaming=True, idle=True) == AZUREML
    for stronger in ({"clients": "users"}, {"domain": True}, {"network": "private"}):
        assert target(workspace, team="ml", **stronger) == APPSERVICE
        # A hard limit is above all of them.
        assert target(workspace, **stronger, rollout="percent") == AZUREML
    # A cluster decides nothing while a supported target can do it.
    assert target(team="kubernetes") == APPSERVICE
    assert target(team="kubernetes", longest=300.0) == AKS
    assert target(longest=300.0) == CONTAINERAPPS


def test_dev_differs_only_for_production_preferences() -> None:
    prod = Environment("prod", frozenset({"subscription"}))
    dev = Environment("dev-2", frozenset({"infra"}))
    there = Environment("dev", frozenset({"workspace"}))
    changed = dataclasses.replace(DEFAULTS, domain=True)
    found = [one.target for one in recommend_targets(changed, [dev, there, prod])]
    # Also where a workspace is there: what is tried should be what is relied on.
    assert found == [APPSERVICE, APPSERVICE, APPSERVICE]
    changed = dataclasses.replace(DEFAULTS, rollout="percent", clients="users")
    assert [one.target for one in recommend_targets(changed, [dev, prod])] == [APPSERVICE, AZUREML]
    changed = dataclasses.replace(DEFAULTS, rollout="mirror")
    assert [one.target for one in recommend_targets(changed, [dev, prod])] == [AZUREML, AZUREML]
    assert not Environment("developers", frozenset()).is_trial
    assert not Environment("staging", frozenset()).is_trial


def test_lines_can_be_pasted_into_a_project(tmp_path: Path) -> None:
    environments = [Environment("prod", frozenset({"infra"}))]
    environments += [
        Environment("test", frozenset({"infra"})),
        Environment("local", frozenset()),
    ]
    axes = {**STRICTER, "longest": (60.0, 175.0, 225.0, 300.0), "body": (16.0, 20_000.0)}
    distinct: dict[str, Recommendation] = {}
    for given in combinations({**axes, "network": ("public", "private"), "zones": (False, True)}):
        for found in recommend_targets(given, environments):
            distinct[f"{found.environment.name} {deploy_yaml.build_settings('hello', found)}"] = (
                found
            )
    pasted = {
        deploy_yaml.render_yaml("hello", [found]): found.target for found in distinct.values()
    }
    place = "local: {}\ntest: {registry: a.azurecr.io}\nprod: {registry: a.azurecr.io}\n"
    loaded = set()
    with installed_extension.installed(tmp_path / "installed", installed_extension.EXAMPLE):
        for number, text in enumerate(filter(None, pasted)):
            written = f"sample: sample.json\nexpect: {{answer: string}}\n{text}"
            files = {"environments.yaml": place, "flows/hello/deploy.yaml": written}
            flow = configuration.load_flow(projects.make(tmp_path / str(number), files), "hello")
            assert list(flow.environments.values()) == [pasted[text]]
            loaded |= {*flow.environments.values()}
    assert loaded == {LOCAL, AZUREML, APPSERVICE, CONTAINERAPPS}
    # Nothing is to be pasted where there is no such target, or nothing fits.
    assert pasted[""] in (AKS, None)


def test_the_name_of_a_container_app_fits() -> None:
    (found,) = recommend_targets(dataclasses.replace(DEFAULTS, longest=300.0), [BARE])
    assert deploy_yaml.build_settings("a" * 40, found)["app"] == "a" * 32
    assert deploy_yaml.build_settings("‹flow›", found)["app"] == "flow-prod"
    assert deploy_yaml.build_settings("a" * 31 + "-b", found)["app"] == "a" * 31


def test_numbers_are_those_of_the_targets_and_the_container() -> None:
    (most,) = [
        one.le
        for one in endpoint.Settings.model_fields["request_timeout"].metadata
        if hasattr(one, "le")
    ]
    found = load_options()
    assert most == found[AZUREML].limits[0].exceeded.thresholds["longest"]
    (site_seconds,) = {
        item.exceeded.thresholds["longest"]
        for item in found[APPSERVICE].limits
        if "longest" in item.exceeded.thresholds
    }
    assert site_seconds == site.MAX_REQUEST_SECONDS
    (rule,) = [item for item in found[APPSERVICE].settings if "request_timeout" in item.value]
    assert rule.value["request_timeout"] == site.MAX_REQUEST_SECONDS
    default = site.Settings.model_fields["request_timeout"].default
    assert default == rule.when.thresholds["longest"]
    for name in (AZUREML, CONTAINERAPPS):
        (rule,) = [item for item in found[name].settings if "env" in item.value]
        assert rule.when.thresholds == {"longest": Container.timeout}
    assert Container.body_limit == deploy_yaml.SERVE_BODY_LIMIT
    assert {item.name for item in found.values() if item.is_installed} == set(BUILT_IN)
    assert vm_sizes.retirement_date(endpoint.DEFAULT_INSTANCE_TYPE) is None


def test_every_fact_has_a_source() -> None:
    every = [fact for option in load_options().values() for fact in option.facts.values()]
    assert every
    for fact in every:
        assert fact.text and fact.source.title
        outside = fact.source.link.startswith("https://learn.microsoft.com/")
        assert outside == bool(fact.source.dated), fact
        assert outside or (Path(__file__).parents[3] / fact.source.link).is_file(), fact


def test_answers_have_a_question_each() -> None:
    fields = [field.name for field in dataclasses.fields(Answers)]
    assert sorted(one.name for one in QUESTIONS) == sorted(fields[:-1])
    for one in QUESTIONS:
        assert one.format_answer(one.parse_answer(one.default)).split()[0] == one.default


@pytest.mark.parametrize(
    ("given", "target", "clear"),
    [
        ({"longest": "170", "team": "ml"}, AZUREML, {}),
        ({"longest": "174.5", "team": "ml"}, AZUREML, {"SERVE_TIMEOUT": "175"}),
        ({"longest": "600"}, CONTAINERAPPS, {"SERVE_TIMEOUT": "600"}),
        ({"longest": "225"}, APPSERVICE, {}),
        (
            {"longest": "10", "team": "ml", "peak": "0.1", "body": "11000"},
            AZUREML,
            {"SERVE_BODY_LIMIT": "11000000"},
        ),
    ],
)
def test_requests_over_the_container_limits_are_reported(
    given: dict[str, str], target: str, clear: dict[str, str]
) -> None:
    (found,) = recommend_targets(answers.collect_answers(given), [BARE])
    assert found.target == target
    assert deploy_yaml.build_settings("hello", found).get("env", {}).get("clear", {}) == clear


@pytest.mark.parametrize(("peak", "is_reported"), [("25", False), ("26", True)])
def test_too_many_connections_for_an_endpoint_are_reported(peak: str, is_reported: bool) -> None:
    (found,) = recommend_targets(
        answers.collect_answers({"team": "ml", "longest": "20", "peak": peak}), [BARE]
    )
    note = (
        "if every answer took the longest time, 520 connections would be open at the peak, and an "
        "endpoint takes 500"
    )
    assert (note in deploy_yaml.list_notes("hello", found)) is is_reported
