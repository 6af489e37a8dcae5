"""The real SDK of Machine Learning around a scripted flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests
from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    Environment,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    OnlineRequestSettings,
    ProbeSettings,
)
from azure.identity import DefaultAzureCredential

from deploy.sandbox.arm import GROUP
from deploy.sandbox.azure import Azure
from deploy.sandbox.azureml.workspace import Workspace

ROUTE = {"path": "/health", "port": 8080}
INFERENCE = {
    "liveness_route": ROUTE,
    "readiness_route": ROUTE,
    "scoring_route": {"path": "/score", "port": 8080},
}


def connect(azure: Azure, workspace: Workspace) -> MLClient:
    """Return the real client of the signed-in identity."""
    url = azure.arm.server.url
    return MLClient(
        DefaultAzureCredential(),
        azure.arm.subscription,
        GROUP,
        workspace.name,
        show_progress=False,
        # The SDK keeps the addresses of a name that it has seen.
        cloud=url,
        cloud_metadata={
            "azure_portal": url,
            "resource_manager": url,
            "active_directory": azure.entra.server.url,
            "aml_resource_id": "https://ml.azure.com",
            "storage_endpoint": "core.windows.net",
            "registry_discovery_endpoint": url,
        },
    )


@dataclass
class Sdk:
    """The client, with what the tests do again and again."""

    client: MLClient
    image: str
    bundle: str

    def endpoint(self, auth_mode: str = "key", **rest: Any) -> ManagedOnlineEndpoint:
        """Make the endpoint faq."""
        made = ManagedOnlineEndpoint(name="faq", auth_mode=auth_mode, **rest)
        done: ManagedOnlineEndpoint = self.client.online_endpoints.begin_create_or_update(
            made
        ).result()
        return done

    def wanted(
        self,
        name: str,
        count: int = 1,
        inference: Any = None,
        concurrent: int = 10,
        timeout_ms: int = 10_000,
        threshold: int = 30,
        **variables: str,
    ) -> ManagedOnlineDeployment:
        """Return a deployment of the image, not sent yet."""
        return ManagedOnlineDeployment(
            name=name,
            endpoint_name="faq",
            environment=Environment(image=self.image, inference_config=inference or INFERENCE),
            instance_type="Standard_D2as_v4",
            instance_count=count,
            environment_variables={"COLOUR": name, "SERVE_WORKERS": "1", **variables},
            liveness_probe=ProbeSettings(
                initial_delay=2, period=10, timeout=2, failure_threshold=30
            ),
            readiness_probe=ProbeSettings(
                initial_delay=1, period=2, timeout=2, failure_threshold=threshold
            ),
            request_settings=OnlineRequestSettings(
                request_timeout_ms=timeout_ms, max_concurrent_requests_per_instance=concurrent
            ),
            tags={"image": self.image},
        )

    def deploy(self, name: str, **rest: Any) -> ManagedOnlineDeployment:
        """Make a deployment, or replace it."""
        wanted = self.wanted(name, **rest)
        done: ManagedOnlineDeployment = self.client.online_deployments.begin_create_or_update(
            wanted
        ).result()
        return done

    def share(self, traffic: dict[str, int], mirror: dict[str, int] | None = None) -> None:
        """Set the shares of the deployments."""
        endpoint = self.client.online_endpoints.get("faq")
        endpoint.traffic, endpoint.mirror_traffic = traffic, mirror or {}
        self.client.online_endpoints.begin_create_or_update(endpoint).result()

    def score(
        self, question: str = "why?", token: str | None = None, **headers: str
    ) -> requests.Response:
        """Score the endpoint, by its key if there is no token."""
        endpoint = self.client.online_endpoints.get("faq")
        if token is None:
            token = str(self.client.online_endpoints.get_keys("faq").primary_key)
        return self.ask(str(endpoint.scoring_uri), token, question, **headers)

    def ask(self, url: str, token: str, question: str, **headers: str) -> requests.Response:
        """Score an address."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        given = {"Authorization": f"Bearer {token}", **named}
        body = {"question": question}
        return requests.post(url, json=body, headers=given, verify=self.bundle, timeout=30)
