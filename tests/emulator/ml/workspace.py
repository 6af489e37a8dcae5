"""One workspace: what is in it, and the knobs that a test turns.

Recorded (tests of azure-sdk-for-python): the fields of a workspace.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tests.emulator.acr import Acr
from tests.emulator.arm import GROUP, LOCATION, ResourceManager
from tests.emulator.certificates import Authority
from tests.emulator.engine import Engine
from tests.emulator.identities import Directory, Identity
from tests.emulator.ml.bodies import check_name
from tests.emulator.ml.errors import canceled
from tests.emulator.ml.front import Front
from tests.emulator.ml.instance import Instance, Plan
from tests.emulator.ml.operations import Operations
from tests.emulator.ml.region import Region
from tests.emulator.ml.resources import PROVIDER, Deployment, Endpoint
from tests.emulator.pace import Pace
from tests.emulator.pull import Puller


class Workspace:
    """A workspace, whose own registry is `registry`.

    `secrets` is what references in the variables of deployments (`${{…}}`) stand for. `crash_code` is
    the code of a crash, for which the service is known to use both BadArgument and ResourceNotReady.
    With `only_scoring_path` no other path of a container is reached.
    """

    def __init__(
        self,
        name: str,
        arm: ResourceManager,
        authority: Authority,
        directory: Directory,
        engine: Engine,
        puller: Puller,
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
        self.fronts: dict[str, Front] = {}
        self.retiring: list[threading.Thread] = []
        self._closing = False
        # All that there were since the last reset.
        self.instances: list[Instance] = []
        self._opened: list[Front] = []
        provider = f"{arm.server.url}/subscriptions/{arm.subscription}/providers/{PROVIDER}"
        address = f"{provider}/locations/{LOCATION}"
        self.pace = Pace()
        self.operations = Operations(
            self.workspace_id, address, self.pace, self.lock, arm.server.failures
        )
        self._fresh()

    def _fresh(self) -> None:
        self.pace.reset()
        self.endpoints: dict[str, Endpoint] = {}
        self.environments: dict[tuple[str, str], dict[str, Any]] = {}
        self.secrets: dict[str, str] = {}
        self.crash_code = "BadArgument"
        self.only_scoring_path = False

    @property
    def id(self) -> str:
        """Its resource id."""
        group = f"/subscriptions/{self.arm.subscription}/resourceGroups/{GROUP}"
        return f"{group}/providers/{PROVIDER}/workspaces/{self.name}"

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint. Raises `KeyError`."""
        return self.endpoints[name.lower()]

    def deployment(self, endpoint: str, name: str) -> Deployment:
        """Return a deployment. Raises `KeyError`."""
        return self.endpoint(endpoint).deployments[name]

    def identity(self, endpoint: str) -> Identity:
        """Return who an endpoint is, to give it roles."""
        found = self.endpoint(endpoint).managed.system
        assert found, f"{endpoint} has no identity of its own"
        return found

    def front(self, endpoint: str) -> Front:
        """Return the scoring front of an endpoint, with its record, its faults and its counts."""
        return self.fronts[endpoint.lower()]

    def serving(self, endpoint: str) -> dict[str, int]:
        """Return the shares that are not 0."""
        return {name: share for name, share in self.endpoint(endpoint).traffic.items() if share}

    @property
    def limits(self) -> dict[str, int]:
        """The quota of its region, of each family of machines in cores."""
        return self.region.limits

    @property
    def writes(self) -> list[str]:
        """Every request so far that changes something here, as `PUT onlineEndpoints/faq`."""
        found = self.arm.server.requests("PUT|PATCH|DELETE|POST", f"/workspaces/{self.name}/")
        paths = [
            (seen.method, seen.path.partition("?")[0].partition(f"{self.name}/")[2])
            for seen in found
        ]
        reading = ("listKeys", "token", "getLogs")
        return [f"{method} {path}" for method, path in paths if not path.endswith(reading)]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no operation end inside of the block."""
        self.pace.gate.clear()
        try:
            yield
        finally:
            self.pace.gate.set()

    def open_front(self, endpoint: Endpoint) -> Front:
        """Start the scoring front of an endpoint."""
        front = Front(endpoint, self, self._authority, self.directory)
        front.server.start()
        self._opened.append(front)
        self.fronts[endpoint.name.lower()] = front
        return front

    def instance(self, plan: Plan) -> Instance:
        """Return a new instance, not started yet. Raises `FailedError` during a reset."""
        made = Instance(self.engine, plan, self.pace, self.crash_code, self.arm.server.failures)
        self.instances.append(made)
        if self._closing:
            made.close()
            raise canceled()
        return made

    def retire(self, deployment: Deployment, instances: list[Instance]) -> None:
        """Remove instances in the background, once they have answered."""
        thread = threading.Thread(target=deployment.retire, args=(instances,), daemon=True)
        self.retiring.append(thread)
        thread.start()

    def reset(self) -> None:
        """Be empty and behave well from now on."""
        self._closing = True
        self.pace.gate.set()
        for front in self.fronts.values():
            front.server.stop()
        self.fronts.clear()
        # Operations that wait for one of them fail by this.
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda instance: instance.close(), list(self.instances)))
        self.operations.stop()
        for thread in self.retiring:
            thread.join()
        self.retiring.clear()
        self.instances.clear()
        self._opened.clear()
        self._fresh()
        self._closing = False

    def problems(self) -> list[str]:
        """Return where the fronts of its endpoints failed, those that are gone included."""
        return [text for front in self._opened for text in front.server.failures]

    def document(self) -> dict[str, Any]:
        """Return it as a body."""
        own = self.id.partition("/providers/")[0]
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
                "storageAccount": f"{own}/providers/Microsoft.Storage/storageAccounts/stflows",
                "keyVault": f"{own}/providers/Microsoft.Keyvault/vaults/kv-flows",
                "applicationInsights": f"{own}/providers/Microsoft.insights/components/appi-flows",
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
