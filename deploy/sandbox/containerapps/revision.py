"""A revision: an immutable template, and its container while it is active.

Recorded (tests of azure-cli, 2024-03-01): its fields and states. Documented: "Health probes" (a
readiness probe decides whether it gets requests), "Manage secrets" (a reference is read with the
identity that it names). Recorded (issues): the errors of a failed pull, secret or start. Assumed: a
container that exits fails the start at once, and is kept for its log until the revision is
deactivated.
"""

from __future__ import annotations

import datetime
import http.client
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox import proxy
from deploy.sandbox.appservice.instance import ContainerConfig, Instance, StartError, WarmUpPing
from deploy.sandbox.appservice.platform_log import PlatformLog
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.https_server import HttpsServer
from deploy.sandbox.identities import Identity

PORT = 8080
START_SECONDS = 240
ABSENT = b"Error 404 - This Container App is stopped or does not exist."
BAD_UPSTREAM_PAGE = b"upstream connect error or disconnect/reset before headers"
PULL_DENIED_DETAIL = 'Invalid value: "{image}": GET https:: UNAUTHORIZED: authentication required'


class ContainerOutput(PlatformLog):
    """The output of a revision's containers, including removed ones, without platform lines."""

    def add_platform_lines(self, *templates: str, **values: object) -> None:
        """Add nothing: these would be lines of App Service."""


InstanceFactory = Callable[[ContainerConfig, ContainerOutput], Instance]


class ProvisioningError(Exception):
    """A revision cannot be provisioned; the message has the details."""


@dataclass
class Revision:
    """A revision. `failure` is why it could not be provisioned."""

    id: str
    name: str
    template: dict[str, Any]
    server: HttpsServer
    make: InstanceFactory
    created: str = field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat("T", "seconds")
    )
    active: bool = True
    state: str = "Provisioning"
    failure: str = ""
    instance: Instance | None = None
    container_output: ContainerOutput = field(default_factory=ContainerOutput)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def provision(self, puller: Identity | None, secrets: Mapping[str, str]) -> None:
        """Start the container, and wait until it is ready or has failed."""
        (container,) = self.template["containers"]
        variables = {
            entry["name"]: secrets[entry["secretRef"]]
            if "secretRef" in entry
            else entry.get("value", "")
            for entry in container["env"]
        }
        probe = next(entry for entry in container["probes"] if entry["type"] == "Readiness")[
            "httpGet"
        ]
        identities = [puller] if puller else []
        ping = WarmUpPing(probe["path"], frozenset({200}))
        recipe = ContainerConfig(
            self.name, container["image"], identities, variables, probe["port"], START_SECONDS, ping
        )
        self.instance = instance = self.make(recipe, self.container_output)
        try:
            instance.start(self.cancelled)
        except StartError as error:
            self.state = "Failed"
            if "pulled" in str(error):
                detail = PULL_DENIED_DETAIL.format(image=container["image"])
                path = f"template.containers.{container['name']}.image"
                raise ProvisioningError(format_invalid_field(path, detail)) from None
            raise ProvisioningError("Operation expired.") from None
        finally:
            # The revision was stopped during its start.
            if self.cancelled.is_set():
                instance.close()
        self.state = "Provisioned"

    def stop(self) -> None:
        """Deactivate the revision; remove the container once its requests are answered."""
        self.active = False
        self.cancelled.set()
        instance, self.instance = self.instance, None
        if instance:
            instance.drain()

    def serve(self, exchange: Exchange) -> None:
        """Forward a request to the container."""
        instance = self.instance if self.active and self.state == "Provisioned" else None
        if instance is None:
            exchange.answer(404, ABSENT)
            return
        with instance.mark_in_use():
            try:
                response = proxy.forward_request(instance.port, exchange)
            except (OSError, http.client.HTTPException):
                exchange.answer(503, BAD_UPSTREAM_PAGE)
                return
            proxy.relay_response(exchange, response)

    def document(self, weight: int) -> dict[str, Any]:
        """Return the revision in the form of a response's body."""
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
        """Return what the containers have printed."""
        return self.container_output.text(self.instance.output() if self.instance else "")

    def replicas(self, stream: str) -> list[dict[str, Any]]:
        """Return the replicas as in a response's body, with log addresses below `stream`."""
        if self.instance is None:
            return []
        (container,) = self.template["containers"]
        name = f"{self.name}-6695559dd7-wgzc6"
        log_url = (
            f"{stream}/revisions/{self.name}/replicas/{name}/containers/{container['name']}/"
            "logstream"
        )
        container_body = {
            "name": container["name"],
            "logStreamEndpoint": log_url,
            "ready": True,
            "started": True,
        }
        return [
            {
                "name": name,
                "properties": {"createdTime": self.created, "containers": [container_body]},
            }
        ]


def format_invalid_field(path: str, detail: str) -> str:
    """Return the service's message about an invalid field."""
    return (
        f"The following field(s) are either invalid or missing. Field '{path}' is invalid with "
        f"details: '{detail}';."
    )
