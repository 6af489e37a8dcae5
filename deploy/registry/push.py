"""Push an image from the engine to a registry, with progress by layer and retries.

Docker, Docker with the containerd image store, and podman report a push in different words. Their
messages are for users only; the result is read from the registry
(`deploy.delivery.publication`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import docker
import docker.errors
import requests

from deploy.core import http_requests, progress
from deploy.core.errors import DeployError
from deploy.docker import engine
from deploy.registry.oci import Registry

# Prefixes of the status of a layer that the registry has already.
PRESENT_STATUSES = ("Layer already exists", "Already exists", "Mounted from")
# Errors that a retry does not resolve. Each engine has its own words around them: "denied:
# requested access to the resource is denied" (Docker), "insufficient_scope: authorization failed",
# "unexpected status from PUT request to …: 403 Forbidden" (containerd), "writing blob: initiating
# layer upload …: authentication required" (podman).
ACCESS_DENIED = re.compile(
    r"denied|unauthorized|authentication required|authorization failed|forbidden"
    r"|insufficient_scope|failed to authorize|no basic auth credentials",
    re.IGNORECASE,
)
# Messages of Go's libraries, which all engines use.
UNTRUSTED_CERTIFICATE = re.compile(r"x509|certificate", re.IGNORECASE)
PLAIN_HTTP = re.compile(r"server gave HTTP response to HTTPS client", re.IGNORECASE)
UNKNOWN_IMAGE = re.compile(
    r"image does not exist locally|tag does not exist|no such image|image not known", re.IGNORECASE
)


@dataclass
class PushProgress:
    """The progress of each layer, by the id that the engine gives it."""

    # Bytes sent and total bytes of each layer as the engine counts them: some before compression,
    # some after.
    sent: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    pushed: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)

    def record(self, event: Mapping[str, Any]) -> str:
        """Record an event of the engine. Return the layer that it completes, or ""."""
        layer, status = str(event.get("id") or ""), str(event.get("status") or "")
        detail = event.get("progressDetail") or {}
        if layer and detail.get("current"):
            self.sent[layer] = int(detail["current"])
            # Docker counts the archive's own blocks, too, so `current` may exceed the total; podman
            # may report no total.
            self.size[layer] = max(int(detail.get("total") or 0), self.sent[layer])
        if not layer or layer in self.pushed or layer in self.present:
            return ""
        if status.startswith(PRESENT_STATUSES):
            self.present.append(layer)
        elif status == "Pushed":
            self.pushed.append(layer)
            return layer
        return ""

    def __str__(self) -> str:
        """Return the overall progress as text."""
        done = len(self.pushed) + len(self.present)
        return (
            f"{done} layers done, {_format_megabytes(sum(self.sent.values()))} of "
            f"{_format_megabytes(self.total)} sent"
        )

    @property
    def total(self) -> int:
        """Return the total bytes of the layers that are sent."""
        return sum(self.size.values())


def push(client: docker.DockerClient, image: str, registry: Registry, name: str, tag: str) -> None:
    """Push the engine's `image` as `name`:`tag`; `name` includes the registry's address.

    Raises `DeployError`. Layers that the registry has received stay there, so the next attempt has
    less to do.
    """
    with engine.translate_errors("tagging the image"):
        client.images.get(image).tag(name, tag)
    with progress.phase("push", f"{name}:{tag}") as phase:
        layers = http_requests.with_retries(
            lambda: _push_once(client, registry, name, tag, phase.update)
        )
        present_suffix = f", {len(layers.present)} already present" if layers.present else ""
        phase.result = f"{len(layers.pushed)} layers{present_suffix}"


def _push_once(
    client: docker.DockerClient,
    registry: Registry,
    name: str,
    tag: str,
    update: Callable[[str], None],
) -> PushProgress:
    layers = PushProgress()
    with engine.translate_errors(f"pushing {name}:{tag}"):
        for event in _stream_events(client, registry, name, tag):
            error = read_error(event)
            if error:
                raise create_error(registry, name, error)
            layer = layers.record(event)
            if layer:
                progress.note(
                    "push", f"layer {layer}  {_format_megabytes(layers.size.get(layer, 0))}"
                )
            update(str(layers))
    return layers


def _stream_events(
    client: docker.DockerClient, registry: Registry, name: str, tag: str
) -> Iterator[dict[str, Any]]:
    # Credentials for this request only; with a refresh token the engine can renew its own token
    # during the push.
    auth_config = registry.login.credentials().to_auth_config()
    try:
        yield from client.images.push(name, tag, auth_config=auth_config, stream=True, decode=True)
    except docker.errors.APIError as error:
        # The error occurred before the stream began; older versions of podman report all errors
        # this way.
        yield {"error": str(error.explanation or error)}
    except KeyError as error:
        # The SDK expects "message" in every error response, but podman's response to a push has
        # "error".
        refusal = error.__context__
        if not isinstance(refusal, requests.HTTPError):
            raise
        yield {"error": str(refusal.response.json().get("error", refusal))}


def read_error(event: Mapping[str, Any]) -> str:
    """Return the error in an event of the engine, or ""."""
    detail = event.get("errorDetail") or {}
    return str(event.get("error") or detail.get("message") or "")


def create_error(registry: Registry, name: str, text: str) -> Exception:
    """Return the exception for the engine's error `text`.

    It is a `TransientError` if a retry may succeed.
    """
    text = " ".join(text.split())
    location = registry.where
    if PLAIN_HTTP.search(text):
        hint = (
            f'allow the engine to use HTTP: "insecure-registries": ["{registry.server}"] in '
            f"Docker's daemon.json, or for podman in registries.conf [[registry]] with "
            f'location = "{registry.server}" and insecure = true'
        )
        return DeployError(location, "it uses plain HTTP, but the engine requires TLS", hint)
    if UNTRUSTED_CERTIFICATE.search(text):
        hint = (
            f"add its certificate authority: /etc/docker/certs.d/{registry.server}/ca.crt, "
            f"or for podman /etc/containers/certs.d/{registry.server}/ca.crt"
        )
        return DeployError(location, f"the engine does not trust its certificate: {text}", hint)
    if UNKNOWN_IMAGE.search(text):
        return DeployError(
            location,
            f"the engine no longer has the image: {text[:160]}",
            "build it again: `inv build`",
        )
    if ACCESS_DENIED.search(text):
        # This raises an error if a permission is missing. Otherwise the token has expired: engines
        # report both in the same words.
        registry.check_push_access(name.partition("/")[2])
    return http_requests.TransientError(location, f"the push was interrupted ({text[:160]})")


def _format_megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
