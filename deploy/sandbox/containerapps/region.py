"""Managed environments and apps, and the operations on them.

Recorded (azure-cli, `containerapp/_clients.py` and recordings of its tests): a creation answers 201
with Azure-AsyncOperation, a change and a deletion 202 with Location; one operation at a time
(ContainerAppOperationInProgress). Documented: "Track asynchronous Azure operations". Assumed: an
operation lasts until its revision is ready or has failed; the result of a failed one is its error
with 400.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.sandbox.appservice.instance import ContainerConfig, Instance
from deploy.sandbox.arm import LOCATION, ResourceManager
from deploy.sandbox.arm_errors import ArmError
from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.containerapps import request_bodies
from deploy.sandbox.containerapps.app import App
from deploy.sandbox.containerapps.revision import (
    ContainerOutput,
    ProvisioningError,
    Revision,
    create_guarded_thread,
    format_invalid_field,
)
from deploy.sandbox.engine import Engine
from deploy.sandbox.https_server import HttpsServer, RequestHandler
from deploy.sandbox.identities import Directory
from deploy.sandbox.image_pull import ImagePuller
from deploy.sandbox.time_scale import TimeScale
from deploy.sandbox.vault import Vault
from deploy.sandbox.vault import VaultError as VaultRefusedError

PROVIDER = "Microsoft.App"


@dataclass
class Operation:
    """A long-running operation on an app."""

    id: str
    app: App
    thread: threading.Thread | None = None
    done: bool = False
    # Why it failed.
    error: dict[str, str] | None = None


class Region:
    """The managed environments and apps of Container Apps."""

    def __init__(
        self,
        arm: ResourceManager,
        authority: CertificateAuthority,
        directory: Directory,
        engine: Engine,
        puller: ImagePuller,
        vaults: Mapping[str, Vault],
    ) -> None:
        self._authority, self.directory = authority, directory
        self._engine, self._puller, self._vaults = engine, puller, vaults
        self._threads: list[threading.Thread] = []
        self._failures: list[str] = []
        # All hosts since the last reset.
        self._opened: list[HttpsServer] = []
        self.arm = arm
        self.pace = TimeScale()
        self.lock = threading.RLock()
        # Names of managed environments.
        self.environments: set[str] = set()
        self.apps: dict[str, App] = {}
        self.operations: dict[str, Operation] = {}

    def id(self, kind: str, name: str) -> str:
        """Return the resource id of an app or a managed environment."""
        return f"{self.arm.group}/providers/{PROVIDER}/{kind}/{name}"

    def add_environment(self, name: str) -> str:
        """Create a managed environment, as infrastructure does; return its id."""
        self.environments.add(name)
        return self.id("managedEnvironments", name)

    @property
    def writes(self) -> list[str]:
        """All requests that changed something here, as `PATCH app-faq`."""
        requests = self.arm.server.requests("PUT|PATCH|DELETE|POST", f"/providers/{PROVIDER}/")
        paths = [(request.method, request.path.partition("?")[0]) for request in requests]
        return [
            f"{method} {path.partition('/containerApps/')[2]}"
            for method, path in paths
            if not path.endswith("getAuthToken")
        ]

    def app(self, name: str, location: str) -> App:
        """Return a new app, whose host answers."""
        server = self._open(lambda exchange: app.serve(exchange))
        app = App(self.id("containerApps", name), name, location, server)
        self.apps[name] = app
        return app

    def begin(self, app: App, template: dict[str, Any] | None) -> Operation:
        """Start an operation; with a new template, it provisions a revision."""
        operation = Operation(str(uuid.uuid4()), app)
        revision = self._revision(app, template) if template else None
        app.operation, app.state = operation.id, "InProgress"

        def work() -> None:
            try:
                self.pace.completion_gate.wait()
                if revision:
                    self._provision(app, revision)
                app.state = "Succeeded"
            except ProvisioningError as error:
                text = (
                    f"Failed to provision revision for container app '{app.name}'. Error "
                    f"details: {error}"
                )
                operation.error = {"code": "ContainerAppOperationError", "message": text}
                app.state = "Failed"
            finally:
                app.operation, operation.done = "", True

        self.operations[operation.id] = operation
        operation.thread = self._spawn(work)
        return operation

    def remove(self, app: App) -> Operation:
        """Start to remove an app."""
        operation = Operation(str(uuid.uuid4()), app)
        self.operations[operation.id] = operation

        def work() -> None:
            self.apps.pop(app.name, None)
            self._close(app)
            operation.done = True

        operation.thread = self._spawn(work)
        return operation

    def deactivate(self, revision: Revision) -> None:
        """Stop a revision in the background."""
        revision.active = False
        self._spawn(revision.stop)

    def activate(self, app: App, revision: Revision) -> None:
        """Start a revision again in the background."""
        revision.active, revision.state = True, "Provisioning"
        revision.cancelled = threading.Event()

        def work() -> None:
            with contextlib.suppress(ProvisioningError):
                self._provision(app, revision)

        self._spawn(work)

    def problems(self) -> list[str]:
        """Return errors of the emulator itself."""
        return self._failures + [text for server in self._opened for text in server.failures]

    def reset(self) -> None:
        """Remove everything, and restore the defaults."""
        self.pace.completion_gate.set()
        for app in list(self.apps.values()):
            self._close(app)
        for thread in self._threads:
            thread.join()
        for collection in (self.apps, self.operations, self.environments):
            collection.clear()
        for record in (self._threads, self._failures, self._opened):
            record.clear()
        self.pace.reset()

    def _revision(self, app: App, template: dict[str, Any]) -> Revision:
        suffix = template.get("revisionSuffix") or uuid.uuid4().hex[:7]
        name = f"{app.name}--{suffix}"
        if not request_bodies.REVISION.fullmatch(name):
            raise ArmError(400, "ContainerAppInvalidRevisionSuffix", f"'{suffix}' is no suffix.")
        if name in app.revisions:
            # Recorded (issues of azure-cli): the meaning; assumed: the code.
            text = f"Revision with suffix {suffix} already exists."
            raise ArmError(400, "RevisionSuffixAlreadyExists", text)
        server = self._open(lambda exchange: revision.serve(exchange))
        revision = Revision(f"{app.id}/revisions/{name}", name, template, server, self._instance)
        app.revisions[name] = revision
        return revision

    def _provision(self, app: App, revision: Revision) -> None:
        try:
            (container,) = revision.template["containers"]
            server = container["image"].partition("/")[0]
            registries = app.properties["configuration"].get("registries") or ()
            ids = [entry["identity"] for entry in registries if entry["server"] == server]
            puller = app.managed.assigned.get(ids[0]) if ids else None
            revision.provision(puller, self._secrets(app))
        except ProvisioningError:
            revision.state = "Failed"
            raise

    def _secrets(self, app: App) -> dict[str, str]:
        """Return the app's secrets with their values. Raise `ProvisioningError`."""
        values = {}
        for secret in app.properties["configuration"].get("secrets") or ():
            identity = app.managed.assigned.get(secret["identity"])
            address, _, path = secret["keyVaultUrl"].partition("/secrets/")
            vault = next(
                (
                    candidate
                    for candidate in self._vaults.values()
                    if candidate.server.url == address
                ),
                None,
            )
            try:
                if identity is None or vault is None:
                    raise KeyError(secret["name"])
                name, _, version = path.partition("/")
                values[secret["name"]] = vault.read(identity, name, version).value
            except (KeyError, VaultRefusedError):
                reader = f"Managed identity {secret['identity']} for secret {secret['name']}"
                detail = f'Invalid value: "{secret["name"]}": Unable to get value using {reader}'
                raise ProvisioningError(
                    format_invalid_field("configuration.secrets", detail)
                ) from None
        return values

    def _open(self, service: RequestHandler) -> HttpsServer:
        server = HttpsServer(self._authority, service)
        self._opened.append(server)
        server.start()
        return server

    def _instance(self, recipe: ContainerConfig, printed: ContainerOutput) -> Instance:
        return Instance(self._engine, self._puller, self.pace, recipe, printed)

    def _spawn(self, work: Any) -> threading.Thread:
        thread = create_guarded_thread(self._failures, work)
        self._threads.append(thread)
        thread.start()
        return thread

    def _close(self, app: App) -> None:
        for server in _servers(app):
            server.stop()
        for revision in app.revisions.values():
            revision.stop()

    def document(self, operation: Operation) -> dict[str, Any]:
        """Return the status of an operation in the form of a response's body."""
        location_id = (
            f"/subscriptions/{self.arm.subscription}/providers/{PROVIDER}/locations/{LOCATION}"
        )
        body: dict[str, Any] = {
            "id": f"{location_id}/containerappOperationStatuses/{operation.id}",
            "name": operation.id,
            "status": "InProgress",
            "startTime": "2026-11-24T00:00:00.0000000",
        }
        if operation.done:
            body["status"] = "Failed" if operation.error else "Succeeded"
        return {**body, "error": operation.error} if operation.error else body


def _servers(app: App) -> list[HttpsServer]:
    return [app.server, *(revision.server for revision in app.revisions.values())]
