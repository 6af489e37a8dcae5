"""A deploy as the documentation of azure-ai-ml shows it: what `deploy.py` compares with.

Arguments: the addresses of Resource Manager and Entra, subscription, resource group, workspace, and
the images, each of which gets an endpoint.
"""

from __future__ import annotations

import sys
import uuid

from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    Environment,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    OnlineRequestSettings,
    ProbeSettings,
)
from azure.identity import DefaultAzureCredential

ROUTE = {"port": 8080, "path": "/health"}


def main(
    manager: str, entra: str, subscription: str, group: str, workspace: str, *images: str
) -> None:
    """Deploy each of `images`, and give it all requests."""
    client = MLClient(
        DefaultAzureCredential(),
        subscription,
        group,
        workspace,
        show_progress=False,
        cloud=manager,
        cloud_metadata={
            "azure_portal": manager,
            "resource_manager": manager,
            "active_directory": entra,
            "aml_resource_id": "https://ml.azure.com",
            "storage_endpoint": "core.windows.net",
            "registry_discovery_endpoint": manager,
        },
    )
    for image in images:
        endpoint = ManagedOnlineEndpoint(name=f"sdk-{uuid.uuid4().hex[:8]}", auth_mode="key")
        client.online_endpoints.begin_create_or_update(endpoint).result()
        deployment = ManagedOnlineDeployment(
            name="blue",
            endpoint_name=endpoint.name,
            environment=Environment(
                image=image,
                inference_config={
                    "liveness_route": ROUTE,
                    "readiness_route": ROUTE,
                    "scoring_route": {"port": 8080, "path": "/score"},
                },
            ),
            instance_type="Standard_D2as_v4",
            instance_count=1,
            # As those of `inv deploy`, so that the service takes the same time.
            liveness_probe=ProbeSettings(initial_delay=10, period=10, timeout=5),
            readiness_probe=ProbeSettings(initial_delay=5, period=5, timeout=5),
            request_settings=OnlineRequestSettings(request_timeout_ms=180_000),
        )
        client.online_deployments.begin_create_or_update(deployment).result()
        endpoint.traffic = {"blue": 100}
        client.online_endpoints.begin_create_or_update(endpoint).result()


if __name__ == "__main__":
    main(*sys.argv[1:])
