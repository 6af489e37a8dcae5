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
    ResourceNotFoundError,
)

from deploy.core.entities import Image
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.https_server import HOST
from deploy.sandbox.identities import DATA_SCIENTIST, Identity
from deploy.testing.waiting import until
from tests.integration import azureml_client
from tests.integration.azureml_client import Sdk
from tests.integration.azureml_sdk_errors import code, refused

pytest_plugins = ["tests.integration.azureml_fixtures"]
ROOT = Path(__file__).parents[2]


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

    client_thread = threading.Thread(target=ask)
    client_thread.start()
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
        client_thread.join()
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


def test_two_workspaces_at_once(
    azure: Azure, acr: Acr, workspace: Workspace, sdk: Sdk, deployer: Identity
) -> None:
    deployer.assign_roles("mlw-other", DATA_SCIENTIST)
    workspaces = [workspace, azure.workspace("mlw-other", acr)]
    others = azureml_client.connect(azure, workspaces[1])
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


def test_the_native_pace(azure: Azure, workspace: Workspace, sdk: Sdk) -> None:
    sdk.endpoint()
    before = len(azure.arm.server.requests("GET", "mfeOperationsStatus"))
    workspace.pace.real_time = True
    workspace.pace.pending_polls = 1
    began = time.monotonic()
    sdk.client.online_endpoints.begin_delete("faq").result()
    # The SDK looks at once, and then every five seconds, whatever the response says.
    assert time.monotonic() - began >= 5
    assert len(azure.arm.server.requests("GET", "mfeOperationsStatus")) == before + 2


def test_no_container_outlives_the_process(
    client: docker.DockerClient, scripted_images: tuple[Image, ...]
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
        [sys.executable, "-c", script, scripted_images[0].id],
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
    scripted_images: tuple[Image, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = set(threading.enumerate())
    with Azure(tmp_path) as azure:
        acr = azure.registry("crflows")
        workspace = azure.workspace("mlw-flows", acr)
        deployer = azure.identity("deployer", **{"mlw-flows": [DATA_SCIENTIST]})
        for name, value in azure.environment(deployer).items():
            monkeypatch.setenv(name, value)
        Sdk(azureml_client.connect(azure, workspace), "", str(azure.authority.bundle)).endpoint()
        azure.engine.create(scripted_images[0].id, "x", {}, {8080}).start()
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
