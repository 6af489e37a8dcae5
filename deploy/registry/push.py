"""Push an image from the engine to a registry: progress by layer, and again where it breaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import docker

from deploy import console, wire
from deploy.docker import engine
from deploy.errors import DeployError
from deploy.registry.oci import Registry

# What the engine says of a layer that it need not send.
PRESENT = ("Layer already exists", "Mounted from")
# What does not change when it is tried again.
REFUSED = re.compile(r"denied|unauthorized|authentication required|forbidden", re.I)
UNTRUSTED = re.compile(r"x509|certificate", re.I)


@dataclass
class Layers:
    """How far each layer is: bytes sent, bytes in all, and whether that is its end."""

    sent: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    pushed: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    digest: str = ""

    def take(self, event: Mapping[str, Any]) -> str:
        """Take in what the engine says. Return the layer that is now there, or an empty text."""
        self.digest = (event.get("aux") or {}).get("Digest") or self.digest
        layer, status = str(event.get("id", "")), str(event.get("status", ""))
        progress = event.get("progressDetail") or {}
        if progress.get("current"):
            self.sent[layer] = int(progress["current"])
            # The engine counts the archive's own blocks too, past the total that it names.
            self.size[layer] = max(int(progress.get("total") or 0), self.sent[layer])
        if status.startswith(PRESENT):
            self.present.append(layer)
        elif status == "Pushed":
            self.pushed.append(layer)
            return layer
        return ""

    def __str__(self) -> str:
        """The whole in words, sizes uncompressed, as the engine counts them."""
        done = len(self.pushed) + len(self.present)
        return f"{done} layers there, {_mb(sum(self.sent.values()))} of {_mb(self.total)} read"

    @property
    def total(self) -> int:
        """Bytes of the layers that are sent, uncompressed."""
        return sum(self.size.values())


def push(client: docker.DockerClient, image: str, registry: Registry, name: str, tag: str) -> str:
    """Push the engine's `image` as `name`:`tag`, a repository with its registry's address.

    Return the digest of its manifest. Raises `DeployError`; layers that have arrived stay, so the
    next attempt has less to do.
    """
    with engine.explained("naming the image"):
        client.images.get(image).tag(name, tag)
    reference = f"{name}:{tag}"
    with console.phase("push", reference) as phase:
        layers = wire.patiently(lambda: _once(client, registry, name, tag, phase.now))
        kept = f", {len(layers.present)} were there" if layers.present else ""
        phase.result = f"{len(layers.pushed)} layers{kept}"
    if not layers.digest:
        raise DeployError(registry.where, f"the engine told no digest of {reference}", "try again")
    return layers.digest


def _once(
    client: docker.DockerClient,
    registry: Registry,
    name: str,
    tag: str,
    now: Callable[[str], None],
) -> Layers:
    # Credentials of this call alone; a refresh token lets the engine renew its own meanwhile.
    given = registry.login.credentials().for_engine()
    layers = Layers()
    with engine.explained(f"pushing {name}:{tag}"):
        events: Iterator[dict[str, Any]] = client.images.push(
            name, tag, auth_config=given, stream=True, decode=True
        )
        for event in events:
            if "error" in event:
                raise _failed(registry, name, str(event["error"]))
            layer = layers.take(event)
            if layer:
                console.note("push", f"layer {layer}  {_mb(layers.size.get(layer, 0))}")
            now(str(layers))
    return layers


def _failed(registry: Registry, name: str, text: str) -> Exception:
    text = " ".join(text.split())
    if REFUSED.search(text):
        # Or has its token run out meanwhile? The engine says the same of both.
        registry.ask_to_push(name.partition("/")[2])
    if UNTRUSTED.search(text):
        hint = f"let the engine trust it: /etc/docker/certs.d/{registry.server}/ca.crt"
        return DeployError(
            registry.where, f"the engine does not trust its certificate: {text}", hint
        )
    return wire.Transient(registry.where, f"the push broke off ({text[:160]})")


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
