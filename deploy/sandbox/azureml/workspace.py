"""One workspace: its endpoints and environments, and the settings that tests change.

Recorded (tests of azure-sdk-for-python): the fields of a workspace.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deploy.sandbox.acr import Acr
from deploy.sandbox.arm import LOCATION
from deploy.sandbox.azureml.errors import canceled_error
from deploy.sandbox.azureml.frontend import ScoringFrontend
from deploy.sandbox.azureml.instance import Instance, InstanceConfig
from deploy.sandbox.azureml.operations import Operations
from deploy.sandbox.azureml.region import Region
from deploy.sandbox.azureml.request_bodies import check_name
from deploy.sandbox.azureml.resources import PROVIDER, Deployment, Endpoint
from deploy.sandbox.container_platform import ContainerPlatform, Services
from deploy.sandbox.identities import Identity


class Workspace(ContainerPlatform):
    """A workspace, with `registry` as its own registry."""

    READ_ONLY_ROUTES = ("listKeys", "token", "getLogs")

    def __init__(self, name: str, services: Services, region: Region) -> None:
        check_name(name, "a workspace")
        super().__init__(services, f"workspaces/{name}")
        self.name = name
        self.registry: Acr | None = None
        self.workspace_id = str(uuid.uuid4())
        self.region = region
        self.fronts: dict[str, ScoringFrontend] = {}
        self._closing = False
        # All instances since the last reset.
        self.instances: list[Instance] = []
        address = f"{self.arm.server.url}{self.arm.build_location_id(PROVIDER)}"
        self.operations = Operations(self.workspace_id, address, self.pace, self.lock, self.tasks)
        self._clear()

    def _clear(self) -> None:
        self.fronts.clear()
        self.instances.clear()
        self.operations.clear()
        self.endpoints: dict[str, Endpoint] = {}
        self.environments: dict[tuple[str, str], dict[str, Any]] = {}
        # The values of references in the variables of deployments (`${{…}}`).
        self.secrets: dict[str, str] = {}
        # The error code of a crash, for which the real service uses both BadArgument and
        # ResourceNotReady.
        self.crash_code = "BadArgument"
        # Whether only the scoring path of a container can be reached.
        self.only_scoring_path = False
        self._closing = False

    @property
    def id(self) -> str:
        """The workspace's resource id."""
        return self.arm.build_id(f"{PROVIDER}/workspaces", self.name)

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint. Raise `KeyError` if there is none."""
        return self.endpoints[name.lower()]

    def deployment(self, endpoint: str, name: str) -> Deployment:
        """Return a deployment. Raise `KeyError` if there is none."""
        return self.endpoint(endpoint).deployments[name]

    def identity(self, endpoint: str) -> Identity:
        """Return the system-assigned identity of an endpoint, to assign roles to it."""
        identity = self.endpoint(endpoint).managed.system
        assert identity, f"{endpoint} has no identity of its own"
        return identity

    def front(self, endpoint: str) -> ScoringFrontend:
        """Return the frontend of an endpoint, with its recorded requests, faults and counts."""
        return self.fronts[endpoint.lower()]

    def live_traffic(self, endpoint: str) -> dict[str, int]:
        """Return the traffic split without shares of 0."""
        return {name: share for name, share in self.endpoint(endpoint).traffic.items() if share}

    @property
    def limits(self) -> dict[str, int]:
        """The quota of the region, in cores by family of VM sizes."""
        return self.region.limits

    def open_front(self, endpoint: Endpoint) -> ScoringFrontend:
        """Start the frontend of an endpoint."""
        front = self.fronts[endpoint.name.lower()] = ScoringFrontend(endpoint, self)
        return front

    def instance(self, plan: InstanceConfig) -> Instance:
        """Return a new instance, not started yet. Raise `ArmError` during a reset."""
        if self._closing:
            raise canceled_error()
        instance = Instance(
            self.services.engine, plan, self.pace, self.crash_code, self.tasks.failures
        )
        self.instances.append(instance)
        return instance

    def _close_all(self) -> None:
        self._closing = True
        for front in list(self.fronts.values()):
            front.server.stop()
        # Closing instances ends the operations that wait for them, with an error.
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda instance: instance.close(), list(self.instances)))
        self.operations.release()

    def document(self) -> dict[str, Any]:
        """Return the workspace in the form of a response's body."""
        build_id = self.arm.build_id
        return {
            "id": self.id,
            "name": self.name,
            "type": f"{PROVIDER}/workspaces",
            "location": LOCATION,
            "tags": {},
            "kind": "Default",
            "identity": {
                "type": "SystemAssigned",
                "principalId": self.workspace_id,
                "tenantId": self.directory.tenant,
            },
            "sku": {"name": "Basic", "tier": "Basic"},
            "properties": {
                "friendlyName": self.name,
                "description": "",
                "storageAccount": build_id("Microsoft.Storage/storageAccounts", "stflows"),
                "keyVault": build_id("Microsoft.Keyvault/vaults", "kv-flows"),
                "applicationInsights": build_id("Microsoft.insights/components", "appi-flows"),
                "containerRegistry": self.registry and self.arm.resource_id(self.registry),
                "hbiWorkspace": False,
                "tenantId": self.directory.tenant,
                "provisioningState": "Succeeded",
                "v1LegacyMode": False,
                "workspaceId": self.workspace_id,
                "publicNetworkAccess": "Enabled",
                "discoveryUrl": f"https://{LOCATION}.api.azureml.ms/discovery",
            },
        }
