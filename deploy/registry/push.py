"""Push an image from the engine to a registry: progress by layer, and retries where it breaks.

Docker, Docker with the containerd image store, and podman report a push in different words. What
they say is for people; what has arrived is read from the registry (`publishing`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import docker
import docker.errors
import requests

from deploy import console, wire
from deploy.docker import engine
from deploy.errors import DeployError
from deploy.registry.oci import Registry

# Statuses of a layer that need not be sent.
PRESENT = ("Layer already exists", "Already exists", "Mounted from")
# The last status of a push. Docker's classic store repeats the digest in `aux`, others do not.
DIGEST = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})\b")
# Errors that do not change when the push is tried again. Each engine has its own words around them:
# "denied: requested access to the resource is denied" (Docker), "insufficient_scope: authorization
# failed", "unexpected status from PUT request to …: 403 Forbidden" (containerd), "writing blob:
# initiating layer upload …: authentication required" (podman).
REFUSED = re.compile(
    r"denied|unauthorized|authentication required|authorization failed|forbidden"
    r"|insufficient_scope|failed to authorize|no basic auth credentials",
    re.IGNORECASE,
)
# Of Go's libraries, which all of them use.
UNTRUSTED = re.compile(r"x509|certificate", re.IGNORECASE)
PLAIN_HTTP = re.compile(r"server gave HTTP response to HTTPS client", re.IGNORECASE)
UNKNOWN_IMAGE = re.compile(
    r"image does not exist locally|tag does not exist|no such image|image not known", re.IGNORECASE
)


@dataclass
class Layers:
    """The progress of each layer, by the id that the engine gives it."""

    # Bytes sent and bytes in all, as the engine counts them: some before compression, some after.
    sent: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    pushed: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    # Of the manifest or index; empty where the engine does not report one.
    digest: str = ""

    def take(self, event: Mapping[str, Any]) -> str:
        """Record an event of the engine. Return the layer that it completes, or an empty text."""
        layer, status = str(event.get("id") or ""), str(event.get("status") or "")
        self.digest = _digest(event, status) or self.digest
        progress = event.get("progressDetail") or {}
        if layer and progress.get("current"):
            self.sent[layer] = int(progress["current"])
            # Docker counts the archive's own blocks too, past the total; podman may have no total.
            self.size[layer] = max(int(progress.get("total") or 0), self.sent[layer])
        if not layer or layer in self.pushed or layer in self.present:
            return ""
        if status.startswith(PRESENT):
            self.present.append(layer)
        elif status == "Pushed":
            self.pushed.append(layer)
            return layer
        return ""

    def __str__(self) -> str:
        """The whole in words."""
        done = len(self.pushed) + len(self.present)
        return f"{done} layers there, {_mb(sum(self.sent.values()))} of {_mb(self.total)} read"

    @property
    def total(self) -> int:
        """Bytes of the layers that are sent."""
        return sum(self.size.values())


def push(client: docker.DockerClient, image: str, registry: Registry, name: str, tag: str) -> str:
    """Push the engine's `image` as `name`:`tag`, a repository with its registry's address.

    Return the digest that the engine reports; empty if it reports none. Raises `DeployError`;
    layers that have arrived stay, so the next attempt has less to do.
    """
    with engine.explained("naming the image"):
        client.images.get(image).tag(name, tag)
    with console.phase("push", f"{name}:{tag}") as phase:
        layers = wire.patiently(lambda: _once(client, registry, name, tag, phase.now))
        kept = f", {len(layers.present)} were there" if layers.present else ""
        phase.result = f"{len(layers.pushed)} layers{kept}"
    return layers.digest


def _once(
    client: docker.DockerClient,
    registry: Registry,
    name: str,
    tag: str,
    now: Callable[[str], None],
) -> Layers:
    layers = Layers()
    with engine.explained(f"pushing {name}:{tag}"):
        for event in _events(client, registry, name, tag):
            error = error_of(event)
            if error:
                raise failure(registry, name, error)
            layer = layers.take(event)
            if layer:
                console.note("push", f"layer {layer}  {_mb(layers.size.get(layer, 0))}")
            now(str(layers))
    return layers


def _events(
    client: docker.DockerClient, registry: Registry, name: str, tag: str
) -> Iterator[dict[str, Any]]:
    # Credentials of this call alone; a refresh token lets the engine renew its own meanwhile.
    given = registry.login.credentials().for_engine()
    try:
        yield from client.images.push(name, tag, auth_config=given, stream=True, decode=True)
    except docker.errors.APIError as error:
        # What fails before the stream begins; older versions of podman answer with all errors so.
        yield {"error": str(error.explanation or error)}
    except KeyError as error:
        # The SDK expects "message" in every refusal, and podman's of a push has "error".
        refusal = error.__context__
        if not isinstance(refusal, requests.HTTPError):
            raise
        yield {"error": str(refusal.response.json().get("error", refusal))}


def error_of(event: Mapping[str, Any]) -> str:
    """Return the error in an event of the engine, or an empty text."""
    detail = event.get("errorDetail") or {}
    return str(event.get("error") or detail.get("message") or "")


def failure(registry: Registry, name: str, text: str) -> Exception:
    """Return what to raise for the engine's error `text`: `Transient` if a retry may succeed."""
    text = " ".join(text.split())
    where = registry.where
    if PLAIN_HTTP.search(text):
        hint = (
            f'let the engine use it without TLS: "insecure-registries": ["{registry.server}"] in '
            f"Docker's daemon.json, or for podman in registries.conf [[registry]] with "
            f'location = "{registry.server}" and insecure = true'
        )
        return DeployError(where, "it speaks plain HTTP, and the engine expects TLS", hint)
    if UNTRUSTED.search(text):
        hint = (
            f"let the engine trust it: /etc/docker/certs.d/{registry.server}/ca.crt, "
            f"or for podman /etc/containers/certs.d/{registry.server}/ca.crt"
        )
        return DeployError(where, f"the engine does not trust its certificate: {text}", hint)
    if UNKNOWN_IMAGE.search(text):
        return DeployError(where, f"the engine lost the image: {text[:160]}", "`inv build`")
    if REFUSED.search(text):
        # Raises where a right is missing. Otherwise its token has expired: engines say the same.
        registry.ask_to_push(name.partition("/")[2])
    return wire.Transient(where, f"the push broke off ({text[:160]})")


def _digest(event: Mapping[str, Any], status: str) -> str:
    aux = event.get("aux") or {}
    found = DIGEST.search(status)
    return str(aux.get("Digest") or (found[1] if found else ""))


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
