"""The target azureml where things go wrong: what served before serves on, and the reason is told."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.azure.writes import MAX_ATTEMPTS
from deploy.config import configuration
from deploy.core.entities import Deployment
from deploy.core.errors import DeployError
from deploy.delivery import drift, pipeline
from deploy.sandbox.azureml.frontend import DEPLOYMENT
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import ACR_PULL, DATA_SCIENTIST
from deploy.targets.azureml import naming
from deploy.testing.waiting import until
from tests.integration import azureml_project as ml
from tests.integration.azureml_serving import Standing, writes
from tests.integration.interruption import once
from tests.integration.scripted_flow import REGISTRY

ENDPOINT = "/onlineEndpoints/[^/]+[?]"
NEW = "/onlineEndpoints/[^/]+/deployments/"


def refused(world: Standing, colour: str, broken: str = "", **settings: Any) -> str:
    """Deploy, and return the sentences with which that failed; nothing that serves may notice."""
    with world.unharmed(), pytest.raises(DeployError) as caught:
        world.deploy(colour, broken, **settings)
    return str(caught.value)


def moved(world: Standing, **settings: Any) -> None:
    """Deploy the version that stands without traffic, which must end well, and no answer lost."""
    other = world.other
    with world.scored():
        found = world.deploy(other, **settings)
    assert found.state == "healthy"
    assert world.traffic() == {other: 100}


def traffic_write(share: int) -> Any:
    """Return what tells the write that gives the new version this share."""

    def is_it(exchange: Exchange) -> bool:
        return writes(exchange) and "deployments" not in exchange.path and due(share)

    seen: list[int] = []
    order = ml.SETTINGS["rollout"]

    def due(share: int) -> bool:
        seen.append(1)
        return bool(order[len(seen) - 1] == share)

    return is_it


def test_no_quota_is_known_before_anything_is_written(world: Standing) -> None:
    # Two versions of one instance: twice ceil(1.2) × 2 cores.
    world.workspace.limits["standardDASv4Family"] = 13
    before = len(world.workspace.writes)
    text = refused(world, world.fresh(), instance_count=3)
    assert "3 × Standard_D2as_v4 needs 8 cores of quota" in text
    assert "standardDASv4Family has 5 of 13 left" in text
    assert "→ request more" in text
    assert len(world.workspace.writes) == before


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("OutOfQuota", "There is no capacity.", "no capacity for Standard_D2as_v4: There is no"),
        ("InternalServerError", "Something broke.", "the service failed: Something broke"),
        (
            "BadArgument",
            "Unable to download user container image x: not found.",
            "the image cannot be pulled",
        ),
    ],
)
def test_a_start_that_the_service_ends(
    world: Standing, code: str, message: str, expected: str
) -> None:
    world.workspace.operations.fail_next("deployment", code, message)
    text = refused(world, world.fresh())
    assert expected in text
    assert "\n  → " in text
    assert world.workspace.operations.has_injected_all


def test_a_container_that_is_never_ready(world: Standing) -> None:
    world.workspace.pace.startup_grace = 0
    probe = {"initial_delay": 1, "period": 1, "failure_threshold": 2}
    probes = {"readiness": probe, "liveness": {**probe, "failure_threshold": 200}}
    text = refused(world, world.fresh(), "hang", probes=probes)
    assert "the container did not become ready in time" in text
    assert "probes.readiness.failure_threshold" in text


def test_errors_in_the_middle_of_the_ramp(world: Standing) -> None:
    with once(world.azure.arm.server, traffic_write(50), lambda: None):
        text = refused(world, world.fresh(), "weary")
    assert "is rolled back: 1 of 1 requests failed, more than guards.error_rate 0" in text
    assert "the flow returned" in text


def test_a_version_that_is_too_slow(world: Standing) -> None:
    text = refused(world, world.other, guards={"probes": 2, "p95_ms": 1})
    assert "is rolled back: p95 is " in text
    assert "above guards.p95_ms 1" in text


def test_a_start_that_was_canceled_is_tried_again(world: Standing) -> None:
    colour = world.fresh()
    world.workspace.operations.fail_next("deployment", "OperationCanceled", "It was canceled.")
    with world.scored():
        world.deploy(colour)
    assert world.traffic() == {colour: 100}
    assert len(world.colours()) == 2


@pytest.mark.parametrize("share", [10, 50, 100])
def test_a_step_of_the_ramp_that_the_service_ends(world: Standing, share: int) -> None:
    operations = world.workspace.operations

    def fail() -> None:
        operations.fail_next("endpoint", "InternalServerError", "Something broke.")

    with once(world.azure.arm.server, traffic_write(share), fail):
        text = refused(world, world.other)
    assert "the service failed: Something broke" in text
    assert operations.has_injected_all
    moved(world)


@pytest.mark.parametrize(("status", "retry_after"), [(409, ""), (429, "1"), (503, "0"), (500, "")])
def test_a_service_that_is_busy(world: Standing, status: int, retry_after: str) -> None:
    faults = world.azure.arm.server.faults
    faults.answer(status, retry_after=retry_after, method="PUT", path=ENDPOINT)
    faults.answer(429, retry_after="0", method="GET", path=ENDPOINT)
    moved(world)
    assert faults.has_injected_all


def test_a_conflict_that_stays(world: Standing) -> None:
    world.azure.arm.server.faults.answer(409, method="PUT", path=ENDPOINT, times=MAX_ATTEMPTS)
    text = refused(world, world.other)
    assert "another operation is in progress" in text
    assert f"`inv status {world.spec().options}`" in text


@pytest.mark.parametrize("cut", ["request", "answer"])
def test_a_connection_that_breaks_while_traffic_moves(world: Standing, cut: str) -> None:
    faults = world.azure.arm.server.faults
    if cut == "request":
        faults.cut_upload(10, path=ENDPOINT)
    else:
        faults.cut_download(0, path=ENDPOINT, method="PUT")
    faults.cut_download(10, path=ENDPOINT)
    moved(world)
    assert faults.has_injected_all


def test_a_start_whose_acceptance_is_lost(world: Standing) -> None:
    world.azure.arm.server.faults.cut_download(0, path=NEW, method="PUT")
    colour = world.fresh()
    with world.scored():
        world.deploy(colour)
    assert world.traffic() == {colour: 100}
    assert world.azure.arm.server.faults.has_injected_all


def test_a_role_that_is_missing_and_one_that_comes_late(world: Standing) -> None:
    # The registry is not this workspace's own, so that Azure does not assign the role to the endpoint.
    other = world.azure.workspace("mlw-other")
    world.deployer.assign_roles("mlw-other", DATA_SCIENTIST)
    world.locate(workspace="mlw-other")
    with pytest.raises(DeployError) as caught:
        world.deploy("blue")
    name = naming.endpoint_name(world.spec())
    who = other.identity(name).object_id
    text = str(caught.value)
    assert f"the endpoint's identity (object {who}) may not pull the image" in text
    assert f"assign the role AcrPull on the registry {world.acr.login_server} to it" in text
    until(lambda: not other.endpoint(name).deployments)
    before = len(other.writes)
    with pytest.raises(DeployError, match=f"the identity {who} may not pull.*AcrPull is missing"):
        world.deploy("blue")
    assert len(other.writes) == before
    pipeline.destroy(world.spec())
    assert not other.endpoints
    # On a workspace's own registry Azure gives the role, and that takes a while.
    world.azure.workspace("mlw-other", world.acr)
    arm = world.azure.arm.server

    def made(exchange: Exchange) -> bool:
        return exchange.method == "PUT" and exchange.path.endswith(f"/onlineEndpoints/{name}")

    def take() -> None:
        other.identity(name).remove_roles(REGISTRY, ACR_PULL)

    def give() -> None:
        other.identity(name).assign_roles(REGISTRY, ACR_PULL)

    with (
        once(arm, made, take, after=True),
        once(arm, lambda exchange: exchange.method == "DELETE", give),
    ):
        assert world.deploy("blue").state == "healthy"
    assert other.live_traffic(name)
    pipeline.destroy(world.spec())


def test_a_deployer_with_read_access_only(world: Standing) -> None:
    world.deployer.remove_roles(ml.WORKSPACE, DATA_SCIENTIST)
    try:
        # Nobody scores meanwhile: the key, too, is for those who may.
        before = world.traffic()
        with pytest.raises(DeployError) as caught:
            world.deploy(world.other)
        assert world.traffic() == before
    finally:
        world.deployer.assign_roles(ml.WORKSPACE, DATA_SCIENTIST)
    text = str(caught.value)
    assert f"the identity {world.deployer.client_id} may not do Microsoft.MachineLearning" in text
    assert "→ ask for the role AzureML Data Scientist on " in text
    moved(world)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"workspace": "mlw-none"}, "there is no workspace mlw-none in the group rg-flows"),
        ({"resource_group": "rg-none"}, "rg-none"),
        ({"subscription": "6b8b1b5c-0000-0000-0000-000000000000"}, "could not be found"),
    ],
)
def test_a_missing_workspace(world: Standing, place: dict[str, str], expected: str) -> None:
    world.locate(**place)
    with pytest.raises(DeployError) as caught:
        world.plan("blue")
    assert expected in str(caught.value)
    assert "environments.yaml" in str(caught.value)


def test_traffic_that_was_moved_by_hand_before(world: Standing) -> None:
    endpoint, now, other = world.endpoint, world.now, world.other
    shares = {world.named(now): 60, world.named(other): 40}
    endpoint.properties = {**endpoint.properties, "traffic": shares}
    planned = world.plan(other)
    (note,) = [step.why for step in planned.steps if "outside of this tool" in step.why]
    assert note == f"changed outside of this tool: the last deployment set {world.named(now)} 100"
    with world.scored():
        world.deploy(other)
    assert world.traffic() == {other: 100}


def test_drift_is_found_and_nothing_is_written(world: Standing) -> None:
    now, other, endpoint = world.now, world.other, world.endpoint
    world.declare(now)

    def found() -> list[tuple[str, str, str]]:
        every = drift.compare_flow(world.project, world.spec())
        return [(one.what, one.actual, one.configured) for one in every if one.drift]

    world.azure.arm.server.seen.clear()
    assert found() == []
    deployment, before = endpoint.deployments[world.named(now)], endpoint.properties
    variables = deployment.properties["environmentVariables"]
    deployment.properties["environmentVariables"] = {**variables, "SERVE_THREADS": "99"}
    assert found() == [("env.SERVE_THREADS", "99", "8")]
    deployment.properties["environmentVariables"] = variables
    # All requests go to a version that is as configured, too, but nobody deployed it so.
    endpoint.properties = {**before, "traffic": {world.named(other): 100}}
    world.declare(other)
    assert found() == [("traffic", f"{world.named(other)} 100", f"{world.named(now)} 100")]
    endpoint.properties = before
    assert world.azure.arm.server.requests("PUT|PATCH|DELETE") == []


def test_traffic_that_is_moved_by_hand_in_the_middle(world: Standing) -> None:
    endpoint, now, other = world.endpoint, world.now, world.other
    by_hand = {world.named(now): 77, world.named(other): 23}

    def is_watched(exchange: Exchange) -> bool:
        return bool(exchange.headers.get(DEPLOYMENT)) and world.traffic().get(other) == 50

    def move() -> None:
        endpoint.properties = {**endpoint.properties, "traffic": by_hand}

    with (
        world.scored(),
        once(world.front.server, is_watched, move),
        pytest.raises(DeployError) as caught,
    ):
        world.deploy(other)
    assert "something else changed it at the same time: traffic: " in str(caught.value)
    look = f"`inv plan {world.spec().options}` shows it"
    assert look in str(caught.value)
    assert world.traffic() == {now: 77, other: 23}
    world.deploy(now)
    assert world.traffic() == {now: 100}


def test_an_endpoint_of_another_owner(world: Standing) -> None:
    endpoint, before = world.endpoint, world.endpoint.tags
    endpoint.tags = {**before, naming.FLOW_TAG: "invoices"}
    try:
        with pytest.raises(DeployError, match="it belongs to the flow invoices in dev"):
            world.deploy(world.fresh())
    finally:
        endpoint.tags = before


def test_two_deploys_at_once(world: Standing, tmp_path: Path) -> None:
    """From two checkouts, each with settings of its own."""
    ours, theirs = world.fresh(), world.fresh()
    world.declare(theirs)
    folder = tmp_path / "checkout"
    shutil.copytree(world.project.root, folder)
    other = replace(world.project, root=folder)
    world.declare(ours)

    def deploy(project: configuration.Project) -> Deployment | str:
        try:
            return pipeline.deploy(project, ml.spec(project), world.image_file)
        except DeployError as error:
            return str(error)

    with world.scored(), ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(deploy, (world.project, other)))
    done = [one for one in outcomes if isinstance(one, Deployment)]
    for text in outcomes:
        assert isinstance(text, Deployment) or "something else" in text
    assert done
    assert world.now in (ours, theirs)
    world.deploy(ours)
    assert world.now == ours
    assert len(world.colours()) == 2


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "the key or token is rejected"),
        (404, "no version gets any traffic"),
        (408, "the flow took longer than request_timeout"),
        (424, "the container does not respond"),
        (429, "too many requests at the same time"),
    ],
)
def test_scoring_that_the_service_refuses(world: Standing, status: int, expected: str) -> None:
    world.declare(world.now)
    world.front.server.faults.answer(status, path="/score")
    with pytest.raises(DeployError, match=expected):
        pipeline.run_smoke_test(world.spec())
    assert pipeline.run_smoke_test(world.spec()).answer


def test_a_flow_error_is_distinguished_from_a_service_error(world: Standing) -> None:
    world.declare(world.now)
    sample = world.spec().flow.sample
    before = sample.read_text("utf-8")
    sample.write_text('{"question": "fail"}', encoding="utf-8")
    try:
        with pytest.raises(DeployError, match=r"the flow returned 5\d\d"):
            pipeline.run_smoke_test(world.spec())
    finally:
        sample.write_text(before, encoding="utf-8")
