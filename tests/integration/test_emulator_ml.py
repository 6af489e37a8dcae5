"""The emulated managed online endpoints, as the real azure-ai-ml makes, changes and deletes them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from azure.ai.ml.entities import ManagedOnlineEndpoint
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)

from deploy.core.entities import Image
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.https_server import HOST
from deploy.sandbox.identities import ACR_PULL, CONTRIBUTOR, DATA_SCIENTIST, Directory, Identity
from tests.integration import ml_client
from tests.integration.ml_client import INFERENCE, Sdk
from tests.integration.running import until

ROOT = Path(__file__).parents[2]


pytest_plugins = ["tests.integration.ml_fixtures"]


def refused(sdk: Sdk, name: str = "blue", **rest: Any) -> HttpResponseError:
    """Deploy, and return why that failed."""
    with pytest.raises(HttpResponseError) as caught:
        sdk.deploy(name, **rest)
    return caught.value


def code(error: HttpResponseError) -> str:
    assert error.error is not None
    return str(error.error.code)


def labelled(client: docker.DockerClient, label: str) -> list[Any]:
    """Return the containers that carry a label; one may be going this very moment."""
    return list(client.containers.list(all=True, filters={"label": label}, sparse=True))


def containers(azure: Azure) -> int:
    return len(labelled(azure.engine.client, azure.engine.label))


def test_two_deployments_share_an_endpoint(azure: Azure, workspace: Workspace, sdk: Sdk) -> None:
    endpoint = sdk.endpoint(tags={"flow": "hello"})
    assert endpoint.tags == {"flow": "hello"}
    assert endpoint.provisioning_state == "Succeeded"
    assert str(endpoint.scoring_uri).startswith("https://127.0.0.1:")
    assert str(endpoint.scoring_uri).endswith("/score")
    sdk.deploy("blue")
    sdk.deploy("green")
    sdk.share({"blue": 70, "green": 30})
    assert workspace.live_traffic("faq") == {"blue": 70, "green": 30}
    token = str(sdk.client.online_endpoints.get_keys("faq").primary_key)
    url = str(endpoint.scoring_uri)
    answers = [sdk.ask(url, token, "why?") for _ in range(100)]
    assert Counter(answer.headers["azureml-model-deployment"] for answer in answers) == {
        "blue": 70,
        "green": 30,
    }
    for answer in answers:
        colour = answer.headers["azureml-model-deployment"]
        assert answer.json()["answer"].startswith(f"{colour} ")
    answer = sdk.ask(url, token, "why?", azureml_model_deployment="green")
    assert answer.headers["azureml-model-deployment"] == "green"
    logs = sdk.client.online_deployments.get_logs("blue", "faq", lines=50)
    assert "serve score 200" in logs.partition("Container logs:")[2]
    with pytest.raises(HttpResponseError, match="non-zero traffic weight"):
        sdk.client.online_deployments.begin_delete("green", "faq").result()
    sdk.share({"blue": 100}, {"green": 50})
    answers = [sdk.ask(url, token, "why?") for _ in range(10)]
    assert {answer.headers["azureml-model-deployment"] for answer in answers} == {"blue"}
    until(lambda: workspace.deployment("faq", "green").mirrored == 5)
    sdk.share({"blue": 100})
    sdk.client.online_deployments.begin_delete("green", "faq").result()
    assert [one.name for one in sdk.client.online_deployments.list("faq")] == ["blue"]
    assert containers(azure) == 1
    sdk.client.online_endpoints.begin_delete("faq").result()
    with pytest.raises(ResourceNotFoundError):
        sdk.client.online_endpoints.get("faq")
    assert list(sdk.client.online_endpoints.list()) == []
    assert containers(azure) == 0
    with pytest.raises(requests.ConnectionError):
        sdk.ask(url, token, "why?")
    assert [write for write in workspace.writes if not write.startswith("PUT environments")] == [
        "PUT onlineEndpoints/faq",
        "PUT onlineEndpoints/faq/deployments/blue",
        "PUT onlineEndpoints/faq/deployments/green",
        "PUT onlineEndpoints/faq",
        "DELETE onlineEndpoints/faq/deployments/green",
        "PUT onlineEndpoints/faq",
        "PUT onlineEndpoints/faq",
        "DELETE onlineEndpoints/faq/deployments/green",
        "DELETE onlineEndpoints/faq",
    ]


def test_an_update_replaces_without_a_gap_and_keeps_the_old_if_it_fails(
    azure: Azure, workspace: Workspace, sdk: Sdk
) -> None:
    endpoint = sdk.endpoint()
    sdk.deploy("blue", COLOUR="old")
    sdk.share({"blue": 100})
    token = str(sdk.client.online_endpoints.get_keys("faq").primary_key)
    statuses: Counter[int] = Counter()
    answers: Counter[str] = Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = sdk.ask(str(endpoint.scoring_uri), token, "why?")
            statuses[answer.status_code] += 1
            answers[answer.json()["answer"].split()[0]] += 1

    caller = threading.Thread(target=ask)
    caller.start()
    try:
        until(lambda: answers["old"] > 0)
        assert code(refused(sdk, BREAK="crash")) == "BadArgument"
        assert sdk.client.online_deployments.get("blue", "faq").provisioning_state == "Failed"
        assert set(answers) == {"old"}
        sdk.deploy("blue", COLOUR="new")
        seen = answers["new"]
        until(lambda: answers["new"] > seen + 5)
    finally:
        stop.set()
        caller.join()
    assert set(statuses) == {200}
    assert set(answers) == {"old", "new"}
    until(lambda: containers(azure) == 1)


def test_instances_take_turns_and_are_scaled(azure: Azure, workspace: Workspace, sdk: Sdk) -> None:
    sdk.endpoint()
    sdk.deploy("blue", count=2)
    names = {sdk.score(azureml_model_deployment="blue").json()["answer"] for _ in range(4)}
    assert len(names) == 2
    before = workspace.deployment("faq", "blue").instances
    deployment = sdk.client.online_deployments.get("blue", "faq")
    deployment.instance_count = 1
    sdk.client.online_deployments.begin_create_or_update(deployment).result()
    assert workspace.deployment("faq", "blue").instances == before[:1]
    until(lambda: containers(azure) == 1)


def test_a_container_that_crashes(
    azure: Azure, workspace: Workspace, sdk: Sdk, deployer: Identity
) -> None:
    sdk.endpoint()
    error = refused(sdk, BREAK="crash")
    assert code(error) == "BadArgument"
    assert "User container has crashed or terminated" in str(error)
    # Measured: the status is of the look at the operation, which went well.
    assert error.status_code == 200
    logs = sdk.client.online_deployments.get_logs("blue", "faq", lines=10)
    assert "the weights are missing" in logs
    found = sdk.client.online_deployments.get("blue", "faq")
    assert found.provisioning_state == "Failed"
    token = azure.directory.issue(deployer, azure.arm.audiences[0])
    headers = {"Authorization": f"Bearer {token}"}
    why = found.properties["AzureAsyncOperationUri"]
    assert "/mfeOperationsStatus/odidp:" in why
    status = requests.get(why, headers=headers, verify=sdk.bundle, timeout=10).json()
    assert (status["status"], status["error"]["code"]) == ("Failed", "BadArgument")
    again = refused(sdk)
    assert again.status_code == 400
    assert "is in an unrecoverable state. Delete and re-create." in str(again)
    sdk.client.online_deployments.begin_delete("blue", "faq").result()
    workspace.crash_code = "ResourceNotReady"
    assert code(refused(sdk, BREAK="crash")) == "ResourceNotReady"


@pytest.mark.parametrize("how", ["hang", "wrong port"])
def test_a_container_that_does_not_answer(workspace: Workspace, sdk: Sdk, how: str) -> None:
    workspace.pace.startup_grace = 0
    sdk.endpoint()
    if how == "hang":
        error = refused(sdk, threshold=3, BREAK="hang")
    else:
        wrong = {**INFERENCE, "readiness_route": {"path": "/health", "port": 9999}}
        error = refused(sdk, threshold=3, inference=wrong)
    assert code(error) == "ResourceNotReady"
    assert "the readiness probe failed" in str(error)


def test_an_image_that_may_not_be_pulled(
    azure: Azure, acr: Acr, deployer: Identity, image: str
) -> None:
    # The registry is not the workspace's own, so that nobody gives the endpoint the role.
    workspace = azure.workspace("mlw-other")
    deployer.assign_roles("mlw-other", DATA_SCIENTIST)
    sdk = Sdk(ml_client.connect(azure, workspace), image, str(azure.authority.bundle))
    endpoint = sdk.endpoint()
    error = refused(sdk)
    assert code(error) == "BadArgument"
    assert "Endpoint identity does not have pull permission on the registry." in str(error)
    assert endpoint.identity
    assert str(endpoint.identity.principal_id) == workspace.identity("faq").object_id
    workspace.identity("faq").assign_roles(acr.name, ACR_PULL)
    sdk.client.online_deployments.begin_delete("blue", "faq").result()
    assert sdk.deploy("blue").provisioning_state == "Succeeded"
    sdk.image = image.partition("@")[0] + ":no-such-tag"
    assert "Unable to download user container image" in str(refused(sdk, "green"))


def test_no_quota(workspace: Workspace, sdk: Sdk) -> None:
    workspace.limits["standardDASv4Family"] = 6
    sdk.endpoint()
    error = refused(sdk, count=3)
    assert error.status_code == 400
    assert "Not enough quota available for Standard_D2as_v4" in str(error)
    assert "Current usage/limit: 0/6. Additional needed: 8 " in str(error)
    workspace.operations.fail_next("deployment", "OutOfQuota", "There is no capacity.")
    assert code(refused(sdk)) == "OutOfQuota"
    assert workspace.operations.has_injected_all
    # Measured: the SDK's own entity has no current_value.
    usages = {
        row.name["value"]: row for row in sdk.client.compute.list_usage(location="westeurope")
    }
    assert usages["standardDASv4Family"].limit == 6


def test_what_is_refused_at_once(azure: Azure, workspace: Workspace, sdk: Sdk) -> None:
    sdk.endpoint()
    sdk.deploy("blue")
    wrong: list[dict[str, int]] = [{"blue": 50}, {"blue": 50, "no-such": 50}]
    for shares in wrong:
        with pytest.raises(HttpResponseError) as caught:
            sdk.share(shares)
        assert caught.value.status_code == 400
    with pytest.raises(HttpResponseError, match="Mirror traffic"):
        sdk.share({}, {"blue": 60})
    wanted = sdk.wanted("blue")
    wanted.instance_type = "Standard_D4as_v4"
    with pytest.raises(HttpResponseError, match="cannot be changed"):
        sdk.client.online_deployments.begin_create_or_update(wanted)
    assert "180 seconds" in str(refused(sdk, "green", timeout_ms=181_000))
    endpoint = sdk.client.online_endpoints.get("faq")
    endpoint.traffic = {"blue": 100}
    with workspace.hold_operations():
        changed = sdk.client.online_endpoints.begin_create_or_update(endpoint)
        # It is about to get traffic.
        with pytest.raises(ResourceExistsError):
            sdk.client.online_deployments.begin_delete("blue", "faq")
    changed.result()
    sdk.share({})
    with workspace.hold_operations():
        poller = sdk.client.online_deployments.begin_delete("blue", "faq")
        with pytest.raises(ResourceExistsError):
            sdk.client.online_deployments.begin_delete("blue", "faq")
        with pytest.raises(HttpResponseError, match="does not exist"):
            sdk.share({"blue": 100})
        assert not poller.done()
    poller.result()


def test_two_workspaces_at_once(
    azure: Azure, acr: Acr, workspace: Workspace, sdk: Sdk, deployer: Identity
) -> None:
    deployer.assign_roles("mlw-other", DATA_SCIENTIST)
    workspaces = [workspace, azure.workspace("mlw-other", acr)]
    others = ml_client.connect(azure, workspaces[1])
    sdk.endpoint()
    with pytest.raises(HttpResponseError, match="unique within a region"):
        others.online_endpoints.begin_create_or_update(
            ManagedOnlineEndpoint(name="FAQ", auth_mode="key")
        )
    others.online_endpoints.begin_create_or_update(
        ManagedOnlineEndpoint(name="news", auth_mode="key")
    ).result()
    second = sdk.wanted("blue")
    second.endpoint_name = "news"
    pollers = [
        sdk.client.online_deployments.begin_create_or_update(sdk.wanted("blue")),
        others.online_deployments.begin_create_or_update(second),
    ]
    for poller in pollers:
        poller.result()
    assert containers(azure) == 2
    assert workspace.region.count_used_cores()["standardDASv4Family"] == 8
    sdk.client.online_endpoints.begin_delete("faq").result()
    assert containers(azure) == 1
    assert [list(one.endpoints) for one in workspaces] == [[], ["news"]]
    assert [one.writes[-1] for one in workspaces] == [
        "DELETE onlineEndpoints/faq",
        "PUT onlineEndpoints/news/deployments/blue",
    ]


def test_busy_servers_are_asked_again(azure: Azure, workspace: Workspace, sdk: Sdk) -> None:
    azure.arm.server.faults.answer(429, times=2, retry_after="0", path="mfeOperationsStatus")
    azure.arm.server.faults.answer(503, method="PUT", path="/onlineEndpoints/faq")
    workspace.pace.pending_polls = 4
    assert sdk.endpoint().provisioning_state == "Succeeded"
    assert azure.arm.server.faults.has_injected_all
    assert len(azure.arm.server.requests("GET", "mfeOperationsStatus")) >= 6


def test_a_token_ends_in_the_middle_of_an_operation(
    azure: Azure, workspace: Workspace, sdk: Sdk
) -> None:
    azure.entra.lifetime = 1
    workspace.pace.pending_polls = 30
    assert sdk.endpoint().provisioning_state == "Succeeded"
    assert len(azure.entra.server.requests("POST")) > 1


def test_whose_tokens_hold(
    azure: Azure, workspace: Workspace, sdk: Sdk, deployer: Identity
) -> None:
    audience = azure.arm.audiences[0]
    tokens = {
        azure.directory.issue(deployer, audience): "",
        azure.directory.issue(deployer, audience, -5): "ExpiredAuthenticationToken",
        azure.directory.issue(deployer, "https://ml.azure.com"): "InvalidAuthenticationToken",
        Directory(azure.stranger).issue(deployer, audience): "InvalidAuthenticationToken",
        "": "InvalidAuthenticationToken",
    }
    for token, code in tokens.items():
        answer = requests.get(
            f"{azure.arm.server.url}{workspace.id}?api-version=2024-10-01-preview",
            headers={"Authorization": f"Bearer {token}"},
            verify=sdk.bundle,
            timeout=10,
        )
        assert answer.status_code == (401 if code else 200)
        assert answer.json().get("error", {}).get("code", "") == code


def test_the_native_pace(azure: Azure, workspace: Workspace, sdk: Sdk) -> None:
    sdk.endpoint()
    before = len(azure.arm.server.requests("GET", "mfeOperationsStatus"))
    workspace.pace.real_time = True
    workspace.pace.pending_polls = 1
    began = time.monotonic()
    sdk.client.online_endpoints.begin_delete("faq").result()
    # The SDK looks at once, and then every five seconds, whatever it was told.
    assert time.monotonic() - began >= 5
    assert len(azure.arm.server.requests("GET", "mfeOperationsStatus")) == before + 2


def test_who_may_what(
    azure: Azure, acr: Acr, workspace: Workspace, sdk: Sdk, deployer: Identity
) -> None:
    def ask(method: str, path: str, version: str, **rest: Any) -> requests.Response:
        token = azure.directory.issue(deployer, azure.arm.audiences[0])
        url = f"{azure.arm.server.url}{path}?api-version={version}"
        headers = {"Authorization": f"Bearer {token}"}
        return requests.request(method, url, headers=headers, verify=sdk.bundle, timeout=10, **rest)

    sdk.endpoint()
    roles = f"{azure.arm.resource_id(acr)}/providers/Microsoft.Authorization/roleAssignments"
    who = workspace.identity("faq").object_id
    found = ask("GET", roles, "2022-04-01", params={"$filter": f"principalId eq '{who}'"}).json()
    (row,) = found["value"]
    assert row["properties"]["roleDefinitionId"].endswith("7f951dda-4ed3-4680-a7ca-43fe172d538d")
    group = workspace.id.partition("/providers/")[0]
    scale = f"{group}/providers/Microsoft.Insights/autoscalesettings/faq-blue"
    profile = {
        "name": "cpu",
        "capacity": {"minimum": "1", "maximum": "3", "default": "1"},
        "rules": [],
    }
    body = {
        "location": "westeurope",
        "properties": {"profiles": [profile], "targetResourceUri": f"{workspace.id}/x"},
    }
    assert ask("PUT", scale, "2022-10-01", json=body).status_code == 403
    deployer.assign_roles("group", CONTRIBUTOR)
    assert ask("PUT", scale, "2022-10-01", json=body).status_code == 201
    assert ask("GET", scale, "2022-10-01").json()["properties"] == body["properties"]
    assert ask("DELETE", scale, "2022-10-01").status_code == 200
    deployer.remove_roles("group", CONTRIBUTOR)
    deployer.remove_roles("mlw-flows", DATA_SCIENTIST)
    with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
        sdk.client.online_endpoints.get_keys("faq")
    assert ask("GET", f"{workspace.id}/jobs", "2024-10-01").status_code == 404
    assert ask("GET", workspace.id, "2019-05-01").status_code == 400
    assert [text.split()[:2] for text in azure.problems()] == [
        ["ARM:", "GET"],
        ["ARM:", "api-version"],
    ]
    azure.arm.server.unexpected.clear()


def test_no_container_outlives_the_process(
    client: docker.DockerClient, obedient_images: tuple[Image, ...]
) -> None:
    script = (
        "import sys, time\n"
        "from deploy.sandbox.engine import Engine\n"
        "engine = Engine()\n"
        "image = sys.argv[1]\n"
        "engine.create(image, 'x', {}, {8080}).start()\n"
        "print(engine.label, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, obedient_images[0].id],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    label = process.stdout.readline().strip()
    assert len(labelled(client, label)) == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    until(lambda: not labelled(client, label))


def test_nothing_is_left_of_it(
    tmp_path: Path,
    client: docker.DockerClient,
    obedient_images: tuple[Image, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = set(threading.enumerate())
    with Azure(tmp_path) as azure:
        acr = azure.registry("crflows")
        workspace = azure.workspace("mlw-flows", acr)
        deployer = azure.identity("deployer", **{"mlw-flows": [DATA_SCIENTIST]})
        for name, value in azure.environment(deployer).items():
            monkeypatch.setenv(name, value)
        Sdk(ml_client.connect(azure, workspace), "", str(azure.authority.bundle)).endpoint()
        azure.engine.create(obedient_images[0].id, "x", {}, {8080}).start()
        servers = [azure.entra.server, azure.arm.server, acr.server]
        ports = [server.port for server in (*servers, workspace.front("faq").server)]
        # Clients that say nothing do not hold it up.
        silent = [socket.create_connection((HOST, port)) for port in ports]
    for connection in silent:
        connection.close()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port))
    until(lambda: set(threading.enumerate()) <= before)
    assert labelled(client, azure.engine.label) == []
