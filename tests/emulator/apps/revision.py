"""A revision: an immutable template, and the container that it is while it is active.

Recorded (tests of azure-cli, 2024-03-01): its fields and states. Documented: "Health probes" (a readiness
probe decides whether it gets requests), "Manage secrets" (a reference is read with the identity that it
names). Recorded (issues): how a pull, a secret or a start that fails is told. Assumed: a container that ends
fails the start at once, and is kept for its log until the revision is deactivated.
"""

from __future__ import annotations

import datetime
import http.client
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulator import proxy
from tests.emulator.exchange import Exchange
from tests.emulator.identities import Identity
from tests.emulator.server import Server
from tests.emulator.web.instance import Instance, Ping, Recipe, StartError
from tests.emulator.web.platform_log import PlatformLog

PORT = 8080
LIMIT = 240
ABSENT = b"Error 404 - This Container App is stopped or does not exist."
BROKEN = b"upstream connect error or disconnect/reset before headers"
OUTSIDE = 'Invalid value: "{image}": GET https:: UNAUTHORIZED: authentication required'


class Printed(PlatformLog):
    """What a revision's containers printed, also those that are gone; the platform says nothing."""

    def say(self, *templates: str, **values: object) -> None:
        """Add nothing: that would be App Service's words."""


Make = Callable[[Recipe, Printed], Instance]


class FailedError(Exception):
    """A revision cannot be provisioned; the details."""


@dataclass
class Revision:
    """One revision; `failure` is why it could not be provisioned."""

    id: str
    name: str
    template: dict[str, Any]
    server: Server
    make: Make
    created: str = field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat("T", "seconds")
    )
    active: bool = True
    state: str = "Provisioning"
    failure: str = ""
    instance: Instance | None = None
    printed: Printed = field(default_factory=Printed)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def provision(self, puller: Identity | None, secrets: Mapping[str, str]) -> None:
        """Start its container, and wait until it is ready or has failed."""
        (container,) = self.template["containers"]
        variables = {
            one["name"]: secrets[one["secretRef"]] if "secretRef" in one else one.get("value", "")
            for one in container["env"]
        }
        probe = next(one for one in container["probes"] if one["type"] == "Readiness")["httpGet"]
        who = [puller] if puller else []
        ping = Ping(probe["path"], frozenset({200}))
        recipe = Recipe(self.name, container["image"], who, variables, probe["port"], LIMIT, ping)
        self.instance = instance = self.make(recipe, self.printed)
        try:
            instance.start(self.cancelled)
        except StartError as error:
            self.state = "Failed"
            if "pulled" in str(error):
                detail = OUTSIDE.format(image=container["image"])
                path = f"template.containers.{container['name']}.image"
                raise FailedError(invalid(path, detail)) from None
            raise FailedError("Operation expired.") from None
        finally:
            # It was stopped while it started.
            if self.cancelled.is_set():
                instance.close()
        self.state = "Provisioned"

    def stop(self) -> None:
        """Be inactive: what is in work is answered, then the container goes."""
        self.active = False
        self.cancelled.set()
        instance, self.instance = self.instance, None
        if instance:
            instance.retire()

    def serve(self, exchange: Exchange) -> None:
        """Hand a request on to the container."""
        instance = self.instance if self.active and self.state == "Provisioned" else None
        if instance is None:
            exchange.answer(404, ABSENT)
            return
        with instance.held():
            try:
                response = proxy.ask(instance.port, exchange)
            except (OSError, http.client.HTTPException):
                exchange.answer(503, BROKEN)
                return
            try:
                proxy.relay(exchange, response)
            except (OSError, http.client.HTTPException):
                exchange.reset()

    def document(self, weight: int) -> dict[str, Any]:
        """Return it as a body."""
        ready = self.active and self.state == "Provisioned"
        running = "Running" if ready else "Stopped" if not self.active else self.state
        return {
            "id": self.id,
            "name": self.name,
            "type": "Microsoft.App/containerapps/revisions",
            "properties": {
                "createdTime": self.created,
                "fqdn": self.server.name,
                "template": self.template,
                "active": self.active,
                "replicas": int(ready),
                "trafficWeight": weight,
                "healthState": "Healthy" if ready else "None",
                "provisioningState": self.state,
                "runningState": running if running != "Provisioning" else "Processing",
            },
        }

    def output(self) -> str:
        """Return what its containers have printed."""
        return self.printed.text(self.instance.output() if self.instance else "")

    def replicas(self, stream: str) -> list[dict[str, Any]]:
        """Return its replicas as bodies; their logs are found below `stream`."""
        if self.instance is None:
            return []
        (container,) = self.template["containers"]
        name = f"{self.name}-6695559dd7-wgzc6"
        log = f"{stream}/revisions/{self.name}/replicas/{name}/containers/{container['name']}/logstream"
        made = {"name": container["name"], "logStreamEndpoint": log, "ready": True, "started": True}
        return [{"name": name, "properties": {"createdTime": self.created, "containers": [made]}}]


def invalid(path: str, detail: str) -> str:
    """Return how the service says that a field cannot be."""
    return (
        f"The following field(s) are either invalid or missing. Field '{path}' is invalid with "
        f"details: '{detail}';."
    )


def guarded(failures: list[str], work: Callable[[], None]) -> threading.Thread:
    """Return a thread that does `work`; the emulator's own errors go to `failures`."""

    def run() -> None:
        try:
            work()
        except Exception:
            failures.append(traceback.format_exc())

    return threading.Thread(target=run, daemon=True)
