"""The emulated Container Apps: revisions, traffic, operations, and rejected requests."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import requests

from deploy.azure import clouds
from deploy.azure.resource_manager import ResourceManager
from deploy.config.schema import CloudModel
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import CONTAINER_APPS_CONTRIBUTOR, GROUP_SCOPE, IDENTITY_OPERATOR
from tests.integration import containerapps_project as apps
from tests.integration.azure_fixtures import SignIn

API, APP = "2024-03-01", "app-faq"


class Client:
    """A client of an identity that may deploy, with one app."""

    def __init__(self, azure: Azure, image: str) -> None:
        self._azure, self._image = azure, image
        self.arm = ResourceManager(clouds.resolve_cloud(CloudModel(**azure.cloud)))
        self.path = azure.apps.id("containerApps", APP)

    def body(self, suffix: str, **traffic: int) -> dict[str, Any]:
        """Return the body that makes a revision, with these weights; for the latest without."""
        place, identity = apps.place(self._azure), apps.place(self._azure)["identity"]
        probe = {"type": "Readiness", "httpGet": {"path": "/health", "port": 8080}}
        container = {
            "name": "flow",
            "image": self._image,
            "env": [{"name": "COLOUR", "value": suffix}, {"name": "SERVE_WORKERS", "value": "1"}],
            "probes": [probe],
            "resources": {"cpu": 0.5, "memory": "1Gi"},
        }
        server = self._image.partition("/")[0]
        return {
            "location": "westeurope",
            "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}},
            "properties": {
                "environmentId": place["managed_environment"],
                "configuration": {
                    "activeRevisionsMode": "Multiple",
                    "ingress": {
                        "external": True,
                        "targetPort": 8080,
                        "traffic": rules(**traffic) or [{"latestRevision": True, "weight": 100}],
                    },
                    "registries": [{"server": server, "identity": identity}],
                },
                "template": {"revisionSuffix": suffix, "containers": [container]},
            },
        }

    def traffic(self, **weights: int) -> None:
        """Change the weights alone."""
        body = {"properties": {"configuration": {"ingress": {"traffic": rules(**weights)}}}}
        self.arm.write_and_wait("PATCH", self.path, API, body)

    def app(self) -> Any:
        found = self.arm.get(self.path, API)
        assert found
        return found["properties"]

    def refusal(self, method: str, body: dict[str, Any]) -> str:
        with pytest.raises(DeployError) as caught:
            self.arm.write_and_wait(method, self.path, API, body)
        return str(caught.value)


def rules(**weights: int) -> list[dict[str, Any]]:
    return [{"revisionName": f"{APP}--{name}", "weight": one} for name, one in weights.items()]


@pytest.fixture
def apps_client(azure: Azure, sign_in: SignIn, scripted_images: tuple[Image, ...]) -> Client:
    azure.registry("crflows")
    apps.stand(azure)
    sign_in(apps.deployer(azure))
    return Client(azure, scripted_images[0].pinned)


def colours(azure: Azure, host: str, count: int) -> Counter[str]:
    """Score again and again; count the colours, and statuses other than 200."""
    found: Counter[str] = Counter()
    with requests.Session() as http:
        http.verify, http.trust_env = str(azure.authority.bundle), False
        for _ in range(count):
            answer = http.post(f"https://{host}/score", json={"question": "why?"}, timeout=60)
            good = answer.status_code == 200
            found[
                answer.json()["answer"].partition(" ")[0] if good else str(answer.status_code)
            ] += 1
    return found


def test_traffic_follows_the_rules(apps_client: Client, azure: Azure) -> None:
    apps_client.arm.write_and_wait("PUT", apps_client.path, API, apps_client.body("blue"))
    host = apps_client.app()["configuration"]["ingress"]["fqdn"]
    assert colours(azure, host, 3) == {"blue": 3}
    # The rule names it from now on, so that the next one gets nothing.
    apps_client.traffic(blue=100)
    apps_client.arm.write_and_wait(
        "PATCH", apps_client.path, API, apps_client.body("green", blue=100)
    )
    assert colours(azure, host, 20) == {"blue": 20}
    found = {
        one["name"]: one["properties"]
        for one in apps_client.arm.list_all(f"{apps_client.path}/revisions", API)
    }
    green = found[f"{APP}--green"]
    assert (green["trafficWeight"], green["runningState"]) == (0, "Running")
    assert colours(azure, green["fqdn"], 3) == {"green": 3}
    apps_client.traffic(blue=75, green=25)
    assert colours(azure, host, 100) == {"blue": 75, "green": 25}

    # It stays in the rules, and its requests get no response.
    apps_client.arm.post(f"{apps_client.path}/revisions/{APP}--green/deactivate", API)
    assert colours(azure, host, 100) == {"blue": 75, "404": 25}
    apps_client.traffic(blue=100, green=0)
    assert colours(azure, host, 20) == {"blue": 20}
    apps_client.arm.write_and_wait("DELETE", apps_client.path, API)
    assert apps_client.arm.get(apps_client.path, API) is None
    apps_client.arm.write_and_wait("DELETE", apps_client.path, API)


def test_one_operation_at_a_time_and_one_revision_of_a_name(
    apps_client: Client, azure: Azure
) -> None:
    azure.apps.pace.completion_gate.clear()
    answer = apps_client.arm.send("PUT", apps_client.path, API, apps_client.body("blue"))
    assert answer.status_code == 201
    assert answer.json()["properties"]["provisioningState"] == "InProgress"
    status = answer.headers["Azure-AsyncOperation"]
    assert apps_client.arm.get_operation(status)["status"] == "InProgress"
    message = apps_client.refusal("PATCH", apps_client.body("green"))
    assert "ContainerAppOperationInProgress" in message
    azure.apps.pace.completion_gate.set()
    (operation,) = azure.apps.operations.values()
    assert operation.done.wait(60)
    assert apps_client.arm.get_operation(status)["status"] == "Succeeded"
    assert apps_client.app()["provisioningState"] == "Succeeded"

    other = apps_client.body("blue")
    other["properties"]["template"]["containers"][0]["env"] = []
    assert "Revision with suffix blue already exists" in apps_client.refusal("PATCH", other)
    body = apps_client.body("blue", blue=60)
    assert "must add up to 100" in apps_client.refusal("PATCH", body)
    body = apps_client.body("blue", nobody=100)
    assert f"The revision '{APP}--nobody' of a traffic rule was not found" in apps_client.refusal(
        "PATCH", body
    )


def test_missing_roles_and_unknown_requests_are_rejected(apps_client: Client, azure: Azure) -> None:
    (ci,) = (one for one in azure.directory.list_identities() if one.name == "ci")
    ci.remove_roles(GROUP_SCOPE, CONTAINER_APPS_CONTRIBUTOR)
    assert "may not do Microsoft.App/containerApps/write" in apps_client.refusal(
        "PUT", apps_client.body("blue")
    )
    ci.assign_roles(GROUP_SCOPE, CONTAINER_APPS_CONTRIBUTOR)
    ci.remove_roles(apps.IDENTITY, IDENTITY_OPERATOR)
    assert "userAssignedIdentities/assign/action" in apps_client.refusal(
        "PUT", apps_client.body("blue")
    )
    ci.assign_roles(apps.IDENTITY, IDENTITY_OPERATOR)
    assert azure.problems() == []

    body = apps_client.body("blue")
    body["properties"]["template"]["containers"][0]["resources"]["memory"] = "3Gi"
    apps_client.refusal("PUT", body)
    apps_client.refusal("PUT", {**apps_client.body("blue"), "sku": {}})
    with pytest.raises(DeployError):
        apps_client.arm.get(apps_client.path, "2022-03-01")
    assert len(azure.arm.server.unexpected) == 3
    azure.arm.server.unexpected.clear()
