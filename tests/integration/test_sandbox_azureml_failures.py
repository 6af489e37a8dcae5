"""The emulated managed online endpoints: failed deployments, rejected requests, permissions."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
)

from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.identities import ACR_PULL, CONTRIBUTOR, DATA_SCIENTIST, Directory, Identity
from tests.integration import azureml_client
from tests.integration.azureml_client import INFERENCE, Sdk
from tests.integration.azureml_sdk_errors import code, refused

pytest_plugins = ["tests.integration.azureml_fixtures"]


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
    # The registry is not the workspace's own, so that Azure does not assign the role to the endpoint.
    workspace = azure.workspace("mlw-other")
    deployer.assign_roles("mlw-other", DATA_SCIENTIST)
    sdk = Sdk(azureml_client.connect(azure, workspace), image, str(azure.authority.bundle))
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


def test_invalid_requests_are_rejected(azure: Azure, workspace: Workspace, sdk: Sdk) -> None:
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


def test_busy_servers_are_retried(azure: Azure, workspace: Workspace, sdk: Sdk) -> None:
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


def test_invalid_tokens_are_rejected(
    azure: Azure, workspace: Workspace, sdk: Sdk, deployer: Identity
) -> None:
    audience = azure.arm.audiences[0]
    tokens = {
        azure.directory.issue(deployer, audience): "",
        azure.directory.issue(deployer, audience, -5): "ExpiredAuthenticationToken",
        azure.directory.issue(deployer, "https://ml.azure.com"): "InvalidAuthenticationToken",
        Directory(azure.untrusted_authority).issue(
            deployer, audience
        ): "InvalidAuthenticationToken",
        "": "InvalidAuthenticationToken",
    }
    for token, expected in tokens.items():
        answer = requests.get(
            f"{azure.arm.server.url}{workspace.id}?api-version=2024-10-01-preview",
            headers={"Authorization": f"Bearer {token}"},
            verify=sdk.bundle,
            timeout=10,
        )
        assert answer.status_code == (401 if expected else 200)
        assert answer.json().get("error", {}).get("code", "") == expected


def test_roles_are_enforced(
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
