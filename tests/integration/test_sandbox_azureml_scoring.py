"""Scoring an emulated endpoint: permissions, error responses, faults."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from deploy.sandbox.azure import Azure
from deploy.sandbox.azureml.frontend import AUDIENCE
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import DATA_SCIENTIST, Directory, Identity
from deploy.testing.waiting import until
from tests.integration.azureml_client import Sdk

pytest_plugins = ["tests.integration.azureml_fixtures"]


def url_of(sdk: Sdk) -> str:
    return str(sdk.client.online_endpoints.get("faq").scoring_uri)


def test_keys(sdk: Sdk) -> None:
    url = str(sdk.endpoint().scoring_uri)
    keys = sdk.client.online_endpoints.get_keys("faq")
    for key in (str(keys.primary_key), str(keys.secondary_key)):
        # There is nothing that could answer, which only a caller that may ask is told.
        answer = sdk.ask(url, key, "why?")
        assert answer.status_code == 404
        assert answer.headers["ms-azureml-model-error-reason"] == "not_found"
    assert sdk.ask(url, "wrong", "why?").status_code == 401
    assert requests.post(url, json={}, verify=sdk.bundle, timeout=10).status_code == 401
    sdk.client.online_endpoints.begin_regenerate_keys("faq", key_type="primary").result()
    # Measured: the SDK sends the key that there is, so that it stays.
    assert sdk.client.online_endpoints.get_keys("faq").primary_key == keys.primary_key


def test_tokens_of_the_endpoint(workspace: Workspace, sdk: Sdk) -> None:
    url = str(sdk.endpoint("aml_token").scoring_uri)
    token = str(sdk.client.online_endpoints.get_keys("faq").access_token)
    assert sdk.ask(url, token, "why?").status_code == 404
    assert sdk.ask(url, workspace.front("faq").issue(-5), "why?").status_code == 401
    assert sdk.ask(url, "wrong", "why?").status_code == 401


def test_tokens_of_entra(azure: Azure, sdk: Sdk, deployer: Identity) -> None:
    url = str(sdk.endpoint("aad_token").scoring_uri)
    token = azure.directory.issue(deployer, AUDIENCE)
    assert sdk.ask(url, token, "why?").status_code == 404
    for other in (
        azure.directory.issue(deployer, azure.arm.audiences[0]),
        azure.directory.issue(deployer, AUDIENCE, -5),
        Directory(azure.untrusted_authority).issue(deployer, AUDIENCE),
    ):
        assert sdk.ask(url, other, "why?").status_code == 401
    deployer.remove_roles("mlw-flows", DATA_SCIENTIST)
    assert sdk.ask(url, token, "why?").status_code == 401


def test_errors_of_the_front_end(workspace: Workspace, sdk: Sdk) -> None:
    sdk.endpoint()
    sdk.deploy("blue", concurrent=1, timeout_ms=2000)
    url, token = url_of(sdk), str(sdk.client.online_endpoints.get_keys("faq").primary_key)
    assert sdk.ask(url, token, "why?").status_code == 404
    assert sdk.ask(url, token, "why?", azureml_model_deployment="no-such").status_code == 404
    sdk.share({"blue": 100})
    answer = sdk.ask(url, token, "why?", x_request_id="mine", x_ms_client_request_id="mine")
    assert answer.status_code == 200
    assert answer.headers["azureml-model-deployment"] == "blue"
    assert answer.headers["x-ms-client-request-id"] == "mine"
    assert str(uuid.UUID(answer.headers["x-request-id"])) == answer.headers["x-request-id"]
    failed = sdk.ask(url, token, "fail")
    assert failed.status_code == 424
    assert failed.headers["ms-azureml-model-error-statuscode"] == "500"
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(sdk.ask, url, token, "sleep 5") for _ in range(2)]
        until(lambda: workspace.deployment("faq", "blue").in_flight == 2)
        assert sdk.ask(url, token, "why?").status_code == 429
        assert [answer.result().status_code for answer in slow] == [408, 408]


def test_a_response_is_streamed(workspace: Workspace, sdk: Sdk) -> None:
    sdk.endpoint()
    sdk.deploy("blue")
    sdk.share({"blue": 100})
    key = str(sdk.client.online_endpoints.get_keys("faq").primary_key)
    with requests.post(
        url_of(sdk),
        json={"question": "stream"},
        headers={"Authorization": f"Bearer {key}", "Accept": "text/event-stream"},
        verify=sdk.bundle,
        timeout=30,
        stream=True,
    ) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        assert "one" in next(line for line in lines if line).decode()
        # The container has more to say.
        assert workspace.deployment("faq", "blue").in_flight == 1
        assert any("three" in line.decode() for line in lines)


def test_a_container_that_dies_is_started_again(workspace: Workspace, sdk: Sdk) -> None:
    sdk.endpoint()
    sdk.deploy("blue")
    sdk.share({"blue": 100})
    url, token = url_of(sdk), str(sdk.client.online_endpoints.get_keys("faq").primary_key)
    (instance,) = workspace.deployment("faq", "blue").instances
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(sdk.ask, url, token, "sleep 9")
        until(lambda: instance.in_flight == 1)
        assert instance.container
        instance.container.kill()
        answer = asked.result()
    assert answer.status_code == 424
    assert answer.headers["ms-azureml-model-error-statuscode"] == "503"
    until(lambda: instance.restarts == 1 and instance.ready)
    assert sdk.ask(url, token, "why?").status_code == 200


def test_an_error_of_the_front_end_fails_the_test(
    azure: Azure, workspace: Workspace, sdk: Sdk
) -> None:
    url = str(sdk.endpoint().scoring_uri)

    def broken(exchange: Exchange) -> None:
        raise ValueError("the emulator's own mistake")

    front = workspace.front("faq")
    front.server.service = broken
    with pytest.raises(requests.ConnectionError):
        sdk.ask(url, "key", "why?")
    sdk.client.online_endpoints.begin_delete("faq").result()
    (problem,) = azure.problems()
    assert "the emulator's own mistake" in problem
    front.server.failures.clear()
