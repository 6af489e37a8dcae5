"""What there is to do: a table of worlds, and that doing it leaves nothing to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.core.entities import Flow, Image, ImageSettings, Spec
from deploy.targets.azureml import autoscale as autoscale_rules
from deploy.targets.azureml import desired, naming, traffic
from deploy.targets.azureml.diff import (
    CHANGE,
    CREATE,
    KEEP,
    Decision,
    decide,
    describe_changes,
    fingerprint,
)
from deploy.targets.azureml.settings import Autoscale, EndpointSpec, Env, Place, Settings
from deploy.targets.azureml.state import Endpoint, ObservedState, Version, Workspace

FLOW = Flow(
    "faq",
    Path("faq"),
    "dag",
    "flow.dag.yaml",
    Path("s.json"),
    "string",
    {},
    {},
    ImageSettings(),
    {},
)
PLACE = Place(registry="crflows.azurecr.io", subscription="s", resource_group="rg", workspace="mlw")
DIGEST = f"sha256:{'1' * 64}"
IMAGE = Image("crflows.azurecr.io/faq", "0123456789ab", "sha256:2", "linux/amd64", "b", "c", DIGEST)
NAME = "v-0123456789ab"
OURS = {naming.FLOW_TAG: "faq", naming.ENVIRONMENT_TAG: "dev"}


def spec(**configured: Any) -> EndpointSpec:
    made = Settings(target="azureml", **configured)
    return Spec(
        "p", FLOW, "dev", "azureml", made, PLACE, {"A": "1", "KEY": "k"}, frozenset({"KEY"})
    )


def version(name: str = NAME, **changes: Any) -> Version:
    """Return a deployment that is as `spec()` wants it, but for `changes`."""
    aim = desired.build_desired_state(spec(), IMAGE, None)
    made = Version(
        name=name,
        id=f"/endpoint/deployments/{name}",
        state="Succeeded",
        image=IMAGE.pinned,
        instance_type=aim.instance_type,
        count=1,
        variables=aim.variables,
        timeout=aim.timeout,
        concurrency=aim.concurrency,
        liveness=aim.liveness,
        readiness=aim.readiness,
        app_insights=False,
        tags={**OURS, naming.DEPLOYED_AT_TAG: name},
    )
    return replace(made, **changes)


def older(name: str, **changes: Any) -> Version:
    return version(name, **{"image": "crflows.azurecr.io/faq@sha256:0", **changes})


def world(
    *versions: Version, shares: Mapping[str, int] | None = None, **changes: Any
) -> ObservedState:
    endpoint = Endpoint(
        name="faq",
        state="Succeeded",
        auth="key",
        identity_type="SystemAssigned",
        principals=("1f2e",),
        client_ids={},
        traffic=shares or {},
        mirror={},
        tags=dict(OURS),
        url="https://faq/score",
        location="westeurope",
    )
    return ObservedState(
        Workspace("/w", "westeurope", ""), replace(endpoint, **changes), tuple(versions)
    )


EMPTY = ObservedState(Workspace("/w", "westeurope", ""))
UP = (10, 50, 100)


@pytest.mark.parametrize(
    ("before", "endpoint", "made", "name", "steps", "previous", "remove", "clear"),
    [
        (EMPTY, CREATE, CREATE, NAME, (100,), "", (), ()),
        (world(), KEEP, CREATE, NAME, (100,), "", (), ()),
        (world(state="Failed"), CHANGE, CREATE, NAME, (100,), "", (), ()),
        (world(version(), shares={NAME: 100}), KEEP, KEEP, NAME, (), "", (), ()),
        (world(version()), KEEP, KEEP, NAME, (100,), "", (), ()),
        (world(older("a"), shares={"a": 100}), KEEP, CREATE, NAME, UP, "a", (), ()),
        # Two are kept no longer than one.
        (world(older("a"), older("b"), shares={"b": 100}), KEEP, CREATE, NAME, UP, "b", ("a",), ()),
        # An earlier run was interrupted: before the ramp, and in the middle of it.
        (world(older("a"), version(), shares={"a": 100}), KEEP, KEEP, NAME, UP, "a", (), ()),
        (
            world(older("a"), version(), shares={"a": 90, NAME: 10}),
            *(KEEP, KEEP, NAME, (50, 100), "a", (), ()),
        ),
        # The same image with other settings, and one of a broken start.
        (
            world(version(variables={}), shares={NAME: 100}),
            *(KEEP, CREATE, f"{NAME}-2", UP, NAME, (), ()),
        ),
        (
            world(older("a"), version(state="Failed"), shares={"a": 100}),
            *(KEEP, CREATE, f"{NAME}-2", UP, "a", (), (NAME,)),
        ),
        (
            world(older("a"), version(state="Deleting"), shares={"a": 100}),
            *(KEEP, CREATE, f"{NAME}-2", UP, "a", (), ()),
        ),
        # What somebody else made is left alone.
        (world(older("a", tags={}), shares={}), KEEP, CREATE, NAME, (100,), "", (), ()),
    ],
)
def test_decide(
    before: ObservedState,
    endpoint: str,
    made: str,
    name: str,
    steps: tuple[int, ...],
    previous: str,
    remove: tuple[str, ...],
    clear: tuple[str, ...],
) -> None:
    found = decide(spec(), IMAGE, before)
    assert (found.endpoint_action, found.version_action, found.name) == (endpoint, made, name)
    assert tuple(shares[name] for shares in found.traffic_steps) == steps
    assert (found.previous_version, found.obsolete_versions, found.broken_versions) == (
        previous,
        remove,
        clear,
    )


@pytest.mark.parametrize(
    ("configured", "there", "made", "scale"),
    [
        ({"instance_count": 3}, version(), KEEP, 3),
        ({"instance_count": 1}, version(), KEEP, None),
        ({"autoscale": Autoscale(min=2, max=4, cpu=70)}, version(count=3), KEEP, None),
        ({"autoscale": Autoscale(min=2, max=4, cpu=70)}, older("a"), CREATE, 2),
        ({"request_timeout": 9}, version(), CREATE, 1),
    ],
)
def test_instances(configured: Any, there: Version, made: str, scale: int | None) -> None:
    found = decide(spec(**configured), IMAGE, world(there, shares={there.name: 100}))
    assert (found.version_action, found.instance_count) == (made, scale)


def carried_out(decision: Decision, before: ObservedState) -> ObservedState:
    """Return what is there once `decision` has been carried out."""
    versions = [
        v
        for v in before.versions
        if v.name not in (*decision.broken_versions, *decision.obsolete_versions)
    ]
    if decision.version_action == CREATE:
        versions.append(version(decision.name))
    versions = [
        replace(v, count=decision.instance_count or v.count) if v.name == decision.name else v
        for v in versions
    ]
    shares = dict(decision.traffic_steps[-1]) if decision.traffic_steps else before.traffic
    done = world(*versions, shares=shares)
    assert done.endpoint
    tags = {**OURS, naming.PREVIOUS_TAG: decision.previous_version}
    return replace(done, endpoint=replace(done.endpoint, tags=tags))


STATES = st.sampled_from(["Succeeded", "Succeeded", "Failed", "Canceled"])
KINDS = st.sampled_from([version, older])


@settings(max_examples=50)
@given(
    st.dictionaries(st.sampled_from(["a", "b", "c", NAME]), st.tuples(KINDS, STATES)),
    st.lists(st.integers(0, 50), min_size=4, max_size=4),
    st.integers(0, 2),
)
def test_carrying_a_decision_out_leaves_nothing_to_do(
    there: dict[str, Any], weights: list[int], keep: int
) -> None:
    versions = [kind(name, state=state) for name, (kind, state) in there.items()]
    given = {v.name: w for v, w in zip(versions, weights, strict=False) if w}
    before = world(*versions, shares=traffic.scale_shares(given, 100) if given else {})
    aim = spec(keep_previous=keep)
    after = carried_out(decide(aim, IMAGE, before), before)
    again = decide(aim, IMAGE, after)
    assert (again.endpoint_action, again.version_action, again.instance_count) == (KEEP, KEEP, None)
    assert (again.traffic_steps, again.obsolete_versions, again.broken_versions) == ((), (), ())
    assert again.is_ready
    assert after.traffic == {again.name: 100}


def test_changes_are_listed_except_pending_deletions() -> None:
    before = world(version(), older("a"), shares={NAME: 100})
    assert before.endpoint
    planned = fingerprint(before.endpoint, before.versions)
    going = (version(), older("a", state="Deleting"))
    assert describe_changes(planned, planned) == ""
    assert (
        describe_changes(planned, fingerprint(before.endpoint, going))
        == "the deployment a was deleted"
    )
    assert (
        describe_changes(
            fingerprint(before.endpoint, going), fingerprint(before.endpoint, going[:1])
        )
        == ""
    )
    moved = replace(before.endpoint, traffic={"a": 100}, mirror={NAME: 5}, auth="entra")
    assert describe_changes(planned, fingerprint(moved, before.versions)) == (
        f"auth: key → entra; traffic: {NAME} 100 % → a 100 %; another mirror traffic"
    )


def test_differences_show_no_secret() -> None:
    aim = desired.build_desired_state(spec(), IMAGE, None)
    there = version(variables={"A": "2", "KEY": "old-secret"}, timeout=5.0)
    found = desired.list_differences(there, aim)
    assert [(one.what, one.before, one.after) for one in found] == [
        ("request_timeout", "5 s", "180 s"),
        ("env.A", "2", "1"),
        ("env.KEY", "***", "***"),
        ("env.SERVE_SECRETS", "-", "KEY"),
    ]
    # A secret of the version before, which is none of this one's.
    gone = version(variables={"A": "1", "GONE": "old-secret", "SERVE_SECRETS": "GONE"})
    told = {one.what: one.before for one in desired.list_differences(gone, aim)}
    assert told["env.GONE"] == "***"
    assert "old-secret" not in repr((found, there, aim))
    assert desired.list_differences(version(), aim) == ()
    assert desired.build_desired_state(spec(), IMAGE, None).plain == ("KEY",)
    reference = {"KEY": "azureml://connections/ai/credentials/key"}
    assert (
        desired.build_desired_state(spec(env=Env(secret_refs=reference)), IMAGE, None).plain == ()
    )
    variables = desired.environment_variables(spec(env=Env(secret_refs=reference)))
    assert variables["KEY"] == "${{azureml://connections/ai/credentials/key}}"
    assert variables["SERVE_SECRETS"] == "KEY"


@settings(max_examples=50)
@given(st.text(st.sampled_from("abcXYZ019-_. "), min_size=1, max_size=60))
def test_names_are_as_azure_wants_them(flow: str) -> None:
    aim = replace(spec(), flow=replace(FLOW, name=f"f{flow}"))
    name = naming.endpoint_name(aim)
    assert 3 <= len(name) <= 32
    assert name[0].isalpha()
    assert name[-1].isalnum()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert naming.endpoint_name(replace(aim, environment="prod")) != name
    taken: set[str] = set()
    for _ in range(20):
        made = naming.choose_deployment_name(replace(IMAGE, tag="f" * 40), taken)
        assert made not in taken
        assert len(made) <= 32
        taken.add(made)


@pytest.mark.parametrize(
    ("autoscale", "metric", "thresholds"),
    [
        (Autoscale(min=2, max=5, cpu=71), "CpuUtilizationPercentage", (71.0, 35.0)),
        (Autoscale(min=2, max=5, requests=100), "RequestsPerMinute", (100.0, 50.0)),
    ],
)
def test_scaling(autoscale: Autoscale, metric: str, thresholds: tuple[float, float]) -> None:
    made = autoscale_rules.build_rule(autoscale, "/e/deployments/blue", "/e", "westeurope")
    (profile,) = made["properties"]["profiles"]
    assert profile["capacity"] == {"minimum": "2", "maximum": "5", "default": "2"}
    up, down = profile["rules"]
    assert {rule["metricTrigger"]["metricName"] for rule in (up, down)} == {metric}
    assert tuple(rule["metricTrigger"]["threshold"] for rule in (up, down)) == thresholds
    assert [rule["scaleAction"]["direction"] for rule in (up, down)] == ["Increase", "Decrease"]
    # What Azure returns may hold more than was sent.
    back = {"properties": {**made["properties"], "name": "x"}}
    assert autoscale_rules.normalize_profiles(back) == autoscale_rules.normalize_profiles(made)
    other = autoscale_rules.build_rule(
        replace_max(autoscale), "/e/deployments/blue", "/e", "westeurope"
    )
    assert autoscale_rules.normalize_profiles(other) != autoscale_rules.normalize_profiles(made)
    aim = spec(autoscale=autoscale)
    there = version(id="/e/deployments/blue")
    assert autoscale_rules.choose_action(aim, None, there, "westeurope", None) == "create"
    assert autoscale_rules.choose_action(aim, back, there, "westeurope", None) == "keep"
    assert autoscale_rules.choose_action(aim, other, there, "westeurope", None) == "change"
    assert autoscale_rules.choose_action(spec(), back, there, "westeurope", None) == "remove"
    assert autoscale_rules.choose_action(spec(), None, there, "westeurope", None) == ""


def replace_max(autoscale: Autoscale) -> Autoscale:
    return autoscale.model_copy(update={"max": autoscale.max + 1})
