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
from dataclasses import dataclass
from typing import Any

from deploy.sandbox import background
from deploy.sandbox.appservice.instance import ContainerConfig, Instance
from deploy.sandbox.arm_errors import ArmError
from deploy.sandbox.container_platform import ContainerPlatform, Services
from deploy.sandbox.containerapps import request_bodies
from deploy.sandbox.containerapps.app import App
from deploy.sandbox.containerapps.revision import (
    ContainerOutput,
    ProvisioningError,
    Revision,
    format_invalid_field,
)
from deploy.sandbox.vault import VaultError

PROVIDER = "Microsoft.App"
APP_KIND, ENVIRONMENT_KIND = f"{PROVIDER}/containerApps", f"{PROVIDER}/managedEnvironments"


@dataclass(kw_only=True)
class Operation(background.Operation):
    """A long-running operation on an app."""

    app: App


class Region(ContainerPlatform):
    """The managed environments and apps of Container Apps."""

    READ_ONLY_ROUTES = ("getAuthToken",)

    def __init__(self, services: Services) -> None:
        super().__init__(services, APP_KIND)
        # Names of managed environments.
        self.environments: set[str] = set()
        self.apps: dict[str, App] = {}
        self.operations: dict[str, Operation] = {}

    def id(self, kind: str, name: str) -> str:
        """Return the resource id of an app or a managed environment."""
        return self.arm.build_id(f"{PROVIDER}/{kind}", name)

    def add_environment(self, name: str) -> str:
        """Create a managed environment, as infrastructure does; return its id."""
        self.environments.add(name)
        return self.id("managedEnvironments", name)

    def app(self, name: str, location: str) -> App:
        """Return a new app, whose host answers."""
        server = self.open_host(lambda exchange: app.serve(exchange))
        app = self.apps[name] = App(self.id("containerApps", name), name, location, server)
        return app

    def begin(self, app: App, template: dict[str, Any] | None) -> Operation:
        """Start an operation; with a new template, it provisions a revision."""
        operation = Operation(app=app)
        revision = self._revision(app, template) if template else None
        app.operation, app.state = operation.id, "InProgress"

        def work() -> None:
            state = "Failed"
            try:
                self.pace.completion_gate.wait()
                if revision:
                    self._provision(app, revision)
                state = "Succeeded"
            except ProvisioningError as error:
                text = (
                    f"Failed to provision revision for container app '{app.name}'. Error "
                    f"details: {error}"
                )
                raise ArmError(400, "ContainerAppOperationError", text) from None
            finally:
                app.operation, app.state = "", state

        self.operations[operation.id] = operation
        return self.tasks.begin(operation, work)

    def remove(self, app: App) -> Operation:
        """Start to remove an app."""
        operation = Operation(app=app)
        self.operations[operation.id] = operation

        def work() -> None:
            self.apps.pop(app.name, None)
            _close(app)

        return self.tasks.begin(operation, work)

    def deactivate(self, revision: Revision) -> None:
        """Stop a revision in the background."""
        revision.active = False
        self.tasks.spawn(revision.stop)

    def activate(self, app: App, revision: Revision) -> None:
        """Start a revision again in the background."""
        revision.active, revision.state = True, "Provisioning"
        revision.cancelled = threading.Event()

        def work() -> None:
            with contextlib.suppress(ProvisioningError):
                self._provision(app, revision)

        self.tasks.spawn(work)

    def _close_all(self) -> None:
        for app in list(self.apps.values()):
            _close(app)

    def _clear(self) -> None:
        for collection in (self.apps, self.operations, self.environments):
            collection.clear()

    def _revision(self, app: App, template: dict[str, Any]) -> Revision:
        suffix = template.get("revisionSuffix") or uuid.uuid4().hex[:7]
        name = f"{app.name}--{suffix}"
        if not request_bodies.REVISION.fullmatch(name):
            raise ArmError(400, "ContainerAppInvalidRevisionSuffix", f"'{suffix}' is no suffix.")
        if name in app.revisions:
            # Recorded (issues of azure-cli): the meaning; assumed: the code.
            text = f"Revision with suffix {suffix} already exists."
            raise ArmError(400, "RevisionSuffixAlreadyExists", text)
        server = self.open_host(lambda exchange: revision.serve(exchange))
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
                    for candidate in self.services.vaults.values()
                    if candidate.server.url == address
                ),
                None,
            )
            try:
                if identity is None or vault is None:
                    raise KeyError(secret["name"])
                name, _, version = path.partition("/")
                values[secret["name"]] = vault.read(identity, name, version).value
            except (KeyError, VaultError):
                reader = f"Managed identity {secret['identity']} for secret {secret['name']}"
                detail = f'Invalid value: "{secret["name"]}": Unable to get value using {reader}'
                raise ProvisioningError(
                    format_invalid_field("configuration.secrets", detail)
                ) from None
        return values

    def _instance(self, recipe: ContainerConfig, printed: ContainerOutput) -> Instance:
        return Instance(self.services, self.pace, recipe, printed)

    def document(self, operation: Operation) -> dict[str, Any]:
        """Return the status of an operation in the form of a response's body."""
        location_id = self.arm.build_location_id(PROVIDER)
        body: dict[str, Any] = {
            "id": f"{location_id}/containerappOperationStatuses/{operation.id}",
            "name": operation.id,
            "status": "InProgress",
            "startTime": "2026-11-24T00:00:00.0000000",
        }
        if operation.done.is_set():
            body["status"] = "Failed" if operation.error else "Succeeded"
        return {**body, **operation.error.content} if operation.error else body


def _close(app: App) -> None:
    for server in (app.server, *(revision.server for revision in app.revisions.values())):
        server.stop()
    for revision in app.revisions.values():
        revision.stop()
