"""One workspace: its endpoints and environments, and the settings that tests change.

Recorded (tests of azure-sdk-for-python): the fields of a workspace.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from deploy.sandbox.acr import Acr
from deploy.sandbox.arm import GROUP, LOCATION, ResourceManager
from deploy.sandbox.azureml.errors import canceled_error
from deploy.sandbox.azureml.frontend import ScoringFrontend
from deploy.sandbox.azureml.instance import Instance, InstanceConfig
from deploy.sandbox.azureml.operations import Operations
from deploy.sandbox.azureml.region import Region
from deploy.sandbox.azureml.request_bodies import check_name
from deploy.sandbox.azureml.resources import PROVIDER, Deployment, Endpoint
from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.engine import Engine
from deploy.sandbox.identities import Directory, Identity
from deploy.sandbox.image_pull import ImagePuller
from deploy.sandbox.time_scale import TimeScale


class Workspace:
    """A workspace, with `registry` as its own registry."""

    def __init__(
        self,
        name: str,
        arm: ResourceManager,
        authority: CertificateAuthority,
        directory: Directory,
        engine: Engine,
        puller: ImagePuller,
        region: Region,
    ) -> None:
        check_name(name, "a workspace")
        self.name = name
        self.registry: Acr | None = None
        self.workspace_id = str(uuid.uuid4())
        self.lock = threading.RLock()
        self.arm = arm
        self.directory = directory
        self.engine = engine
        self.puller = puller
        self.region = region
        self._authority = authority
        self.fronts: dict[str, ScoringFrontend] = {}
        self.retiring: list[threading.Thread] = []
        self._closing = False
        # All instances and frontends since the last reset.
        self.instances: list[Instance] = []
        self._opened: list[ScoringFrontend] = []
        provider = f"{arm.server.url}/subscriptions/{arm.subscription}/providers/{PROVIDER}"
        address = f"{provider}/locations/{LOCATION}"
        self.pace = TimeScale()
        self.operations = Operations(
            self.workspace_id, address, self.pace, self.lock, arm.server.failures
        )
        self._clear()

    def _clear(self) -> None:
        self.pace.reset()
        self.endpoints: dict[str, Endpoint] = {}
        self.environments: dict[tuple[str, str], dict[str, Any]] = {}
        # The values of references in the variables of deployments (`${{…}}`).
        self.secrets: dict[str, str] = {}
        # The error code of a crash, for which the real service uses both BadArgument and
        # ResourceNotReady.
        self.crash_code = "BadArgument"
        # Whether only the scoring path of a container can be reached.
        self.only_scoring_path = False

    @property
    def id(self) -> str:
        """The workspace's resource id."""
        group = f"/subscriptions/{self.arm.subscription}/resourceGroups/{GROUP}"
        return f"{group}/providers/{PROVIDER}/workspaces/{self.name}"

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

    @property
    def writes(self) -> list[str]:
        """All requests that changed something here, as `PUT onlineEndpoints/faq`."""
        requests = self.arm.server.requests("PUT|PATCH|DELETE|POST", f"/workspaces/{self.name}/")
        paths = [
            (request.method, request.path.partition("?")[0].partition(f"{self.name}/")[2])
            for request in requests
        ]
        read_only = ("listKeys", "token", "getLogs")
        return [f"{method} {path}" for method, path in paths if not path.endswith(read_only)]

    @contextmanager
    def hold_operations(self) -> Iterator[None]:
        """Keep operations from ending inside the block."""
        self.pace.completion_gate.clear()
        try:
            yield
        finally:
            self.pace.completion_gate.set()

    def open_front(self, endpoint: Endpoint) -> ScoringFrontend:
        """Start the frontend of an endpoint."""
        front = ScoringFrontend(endpoint, self, self._authority, self.directory)
        front.server.start()
        self._opened.append(front)
        self.fronts[endpoint.name.lower()] = front
        return front

    def instance(self, plan: InstanceConfig) -> Instance:
        """Return a new instance, not started yet. Raise `OperationError` during a reset."""
        instance = Instance(self.engine, plan, self.pace, self.crash_code, self.arm.server.failures)
        self.instances.append(instance)
        if self._closing:
            instance.close()
            raise canceled_error()
        return instance

    def retire(self, deployment: Deployment, instances: list[Instance]) -> None:
        """Remove instances in the background, once their requests in progress are answered."""
        thread = threading.Thread(target=deployment.retire, args=(instances,), daemon=True)
        self.retiring.append(thread)
        thread.start()

    def reset(self) -> None:
        """Remove everything, and restore the defaults."""
        self._closing = True
        self.pace.completion_gate.set()
        for front in self.fronts.values():
            front.server.stop()
        self.fronts.clear()
        # Closing instances ends the operations that wait for them, with an error.
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda instance: instance.close(), list(self.instances)))
        self.operations.stop()
        for thread in self.retiring:
            thread.join()
        self.retiring.clear()
        self.instances.clear()
        self._opened.clear()
        self._clear()
        self._closing = False

    def problems(self) -> list[str]:
        """Return errors of frontends, including those of removed endpoints."""
        return [text for front in self._opened for text in front.server.failures]

    def document(self) -> dict[str, Any]:
        """Return the workspace in the form of a response's body."""
        group = self.id.partition("/providers/")[0]
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
                "storageAccount": f"{group}/providers/Microsoft.Storage/storageAccounts/stflows",
                "keyVault": f"{group}/providers/Microsoft.Keyvault/vaults/kv-flows",
                "applicationInsights": (
                    f"{group}/providers/Microsoft.insights/components/appi-flows"
                ),
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
