"""What there is: managed environments, apps, and the operations on them.

Recorded (azure-cli, `containerapp/_clients.py` and recordings of its tests): a creation answers 201 with
Azure-AsyncOperation, a change and a removal 202 with Location; one operation at a time
(ContainerAppOperationInProgress). Documented: "Track asynchronous Azure operations". Assumed: an operation
lasts until its revision is ready or has failed; the result of one that failed is its error with 400.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.emulator.apps import bodies
from tests.emulator.apps.app import App
from tests.emulator.apps.revision import FailedError, Printed, Revision, guarded, invalid
from tests.emulator.arm import LOCATION, ResourceManager
from tests.emulator.arm_errors import RefusedError
from tests.emulator.certificates import Authority
from tests.emulator.engine import Engine
from tests.emulator.identities import Directory
from tests.emulator.pace import Pace
from tests.emulator.pull import Puller
from tests.emulator.server import Server, Service
from tests.emulator.vault import RefusedError as VaultRefusedError
from tests.emulator.vault import Vault
from tests.emulator.web.instance import Instance, Recipe

PROVIDER = "Microsoft.App"


@dataclass
class Operation:
    """A long operation on an app; `error` is how it failed."""

    id: str
    app: App
    thread: threading.Thread | None = None
    done: bool = False
    error: dict[str, str] | None = None


class Region:
    """What there is of Container Apps; `environments` are the names of managed environments."""

    def __init__(
        self,
        arm: ResourceManager,
        authority: Authority,
        directory: Directory,
        engine: Engine,
        puller: Puller,
        vaults: Mapping[str, Vault],
    ) -> None:
        self._authority, self.directory = authority, directory
        self._engine, self._puller, self._vaults = engine, puller, vaults
        self._threads: list[threading.Thread] = []
        self._failures: list[str] = []
        # Every host since the last reset.
        self._opened: list[Server] = []
        self.arm = arm
        self.pace = Pace()
        self.lock = threading.RLock()
        self.environments: set[str] = set()
        self.apps: dict[str, App] = {}
        self.operations: dict[str, Operation] = {}

    def id(self, kind: str, name: str) -> str:
        """Return the resource id of an app or a managed environment."""
        return f"{self.arm.group}/providers/{PROVIDER}/{kind}/{name}"

    def add_environment(self, name: str) -> str:
        """Make a managed environment, as infrastructure does; return its id."""
        self.environments.add(name)
        return self.id("managedEnvironments", name)

    @property
    def writes(self) -> list[str]:
        """Every request so far that changes something here, as `PATCH app-faq`."""
        found = self.arm.server.requests("PUT|PATCH|DELETE|POST", f"/providers/{PROVIDER}/")
        paths = [(seen.method, seen.path.partition("?")[0]) for seen in found]
        return [
            f"{method} {path.partition('/containerApps/')[2]}"
            for method, path in paths
            if not path.endswith("getAuthToken")
        ]

    def app(self, name: str, location: str) -> App:
        """Return a new app, whose host answers."""
        server = self._open(lambda exchange: made.serve(exchange))
        made = App(self.id("containerApps", name), name, location, server)
        self.apps[name] = made
        return made

    def begin(self, app: App, template: dict[str, Any] | None) -> Operation:
        """Begin an operation, which provisions a revision where there is a new template."""
        operation = Operation(str(uuid.uuid4()), app)
        revision = self._revision(app, template) if template else None
        app.operation, app.state = operation.id, "InProgress"

        def work() -> None:
            try:
                self.pace.gate.wait()
                if revision:
                    self._provision(app, revision)
                app.state = "Succeeded"
            except FailedError as error:
                text = f"Failed to provision revision for container app '{app.name}'. Error details: {error}"
                operation.error = {"code": "ContainerAppOperationError", "message": text}
                app.state = "Failed"
            finally:
                app.operation, operation.done = "", True

        self.operations[operation.id] = operation
        operation.thread = self._spawn(work)
        return operation

    def remove(self, app: App) -> Operation:
        """Begin to remove an app."""
        operation = Operation(str(uuid.uuid4()), app)
        self.operations[operation.id] = operation

        def work() -> None:
            self.apps.pop(app.name, None)
            self._close(app)
            operation.done = True

        operation.thread = self._spawn(work)
        return operation

    def deactivate(self, revision: Revision) -> None:
        """Let a revision end in the background."""
        revision.active = False
        self._spawn(revision.stop)

    def activate(self, app: App, revision: Revision) -> None:
        """Start a revision again in the background."""
        revision.active, revision.state = True, "Provisioning"
        revision.cancelled = threading.Event()

        def work() -> None:
            with contextlib.suppress(FailedError):
                self._provision(app, revision)

        self._spawn(work)

    def problems(self) -> list[str]:
        """Return where the emulator itself failed."""
        return self._failures + [text for server in self._opened for text in server.failures]

    def reset(self) -> None:
        """Be empty and behave well from now on."""
        self.pace.gate.set()
        for app in list(self.apps.values()):
            self._close(app)
        for thread in self._threads:
            thread.join()
        for known in (self.apps, self.operations, self.environments):
            known.clear()
        for seen in (self._threads, self._failures, self._opened):
            seen.clear()
        self.pace.reset()

    def _revision(self, app: App, template: dict[str, Any]) -> Revision:
        suffix = template.get("revisionSuffix") or uuid.uuid4().hex[:7]
        name = f"{app.name}--{suffix}"
        if not bodies.REVISION.fullmatch(name):
            raise RefusedError(
                400, "ContainerAppInvalidRevisionSuffix", f"'{suffix}' is no suffix."
            )
        if name in app.revisions:
            # Recorded (issues of azure-cli): its meaning; assumed: its code.
            text = f"Revision with suffix {suffix} already exists."
            raise RefusedError(400, "RevisionSuffixAlreadyExists", text)
        server = self._open(lambda exchange: made.serve(exchange))
        made = Revision(f"{app.id}/revisions/{name}", name, template, server, self._instance)
        app.revisions[name] = made
        return made

    def _provision(self, app: App, revision: Revision) -> None:
        try:
            (container,) = revision.template["containers"]
            server = container["image"].partition("/")[0]
            registries = app.properties["configuration"].get("registries") or ()
            ids = [one["identity"] for one in registries if one["server"] == server]
            puller = app.managed.assigned.get(ids[0]) if ids else None
            revision.provision(puller, self._secrets(app))
        except FailedError:
            revision.state = "Failed"
            raise

    def _secrets(self, app: App) -> dict[str, str]:
        """Return the app's secrets with their values. Raises `FailedError`."""
        found = {}
        for secret in app.properties["configuration"].get("secrets") or ():
            who = app.managed.assigned.get(secret["identity"])
            address, _, path = secret["keyVaultUrl"].partition("/secrets/")
            vault = next((one for one in self._vaults.values() if one.server.url == address), None)
            try:
                if who is None or vault is None:
                    raise KeyError(secret["name"])
                name, _, version = path.partition("/")
                found[secret["name"]] = vault.read(who, name, version).value
            except (KeyError, VaultRefusedError):
                who_reads = f"Managed identity {secret['identity']} for secret {secret['name']}"
                detail = f'Invalid value: "{secret["name"]}": Unable to get value using {who_reads}'
                raise FailedError(invalid("configuration.secrets", detail)) from None
        return found

    def _open(self, service: Service) -> Server:
        server = Server(self._authority, service)
        self._opened.append(server)
        server.start()
        return server

    def _instance(self, recipe: Recipe, printed: Printed) -> Instance:
        return Instance(self._engine, self._puller, self.pace, recipe, printed)

    def _spawn(self, work: Any) -> threading.Thread:
        thread = guarded(self._failures, work)
        self._threads.append(thread)
        thread.start()
        return thread

    def _close(self, app: App) -> None:
        for server in _servers(app):
            server.stop()
        for revision in app.revisions.values():
            revision.stop()

    def document(self, operation: Operation) -> dict[str, Any]:
        """Return the status of an operation as a body."""
        place = f"/subscriptions/{self.arm.subscription}/providers/{PROVIDER}/locations/{LOCATION}"
        made: dict[str, Any] = {
            "id": f"{place}/containerappOperationStatuses/{operation.id}",
            "name": operation.id,
            "status": "InProgress",
            "startTime": "2026-11-24T00:00:00.0000000",
        }
        if operation.done:
            made["status"] = "Failed" if operation.error else "Succeeded"
        return {**made, "error": operation.error} if operation.error else made


def _servers(app: App) -> list[Server]:
    return [app.server, *(revision.server for revision in app.revisions.values())]
