"""An engine that is made of values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import docker.errors
import pytest

from deploy.build import base_image, base_lock
from deploy.core.entities import ImageSettings
from deploy.core.errors import DeployError
from deploy.docker.pull import PullError, classify_failure

OLD, NEW = ("python@sha256:" + digit * 64 for digit in "ab")
OFFICIAL = "python:3.11-slim-bookworm"
MADE = "flow-base:python3.11-bookworm-amd64-000000000000"
NO_NETWORK = 'Get "https://registry-1.docker.io/v2/": dial tcp: lookup x: no such host'
LIMIT = "toomanyrequests: You have reached your pull rate limit."


def image(
    name: str,
    tags: tuple[str, ...] = (),
    digests: tuple[str, ...] = (),
    architecture: str = "amd64",
    **config: Any,
) -> Mock:
    made = Mock(id=f"sha256:{name}", tags=list(tags))
    made.attrs = {
        "Os": "linux",
        "Architecture": architecture,
        "RepoDigests": list(digests),
        "Created": "2026-01-01",
        "Config": config,
    }
    return made


@dataclass
class Engine:
    """An engine: the images that it has, by name, and what it answers to pulls."""

    images: dict[str, Mock] = field(default_factory=dict)
    # What a pull brings, by reference; a text is the engine's error.
    registry: dict[str, Mock | str] = field(default_factory=dict)
    made: list[Mock] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def client(self) -> Any:
        client = Mock()
        client.api._version = "1.41"
        client.info.return_value = {"DriverStatus": [["Backing Filesystem", "extfs"]]}
        client.images.get = self.get
        client.api.images = lambda *_, **__: [{"Id": image.id} for image in self.made]
        client.images.remove = lambda name, **_: self.removed.append(name)
        client.version.return_value = {"Os": "linux", "Arch": "amd64"}
        return client

    def get(self, name: str) -> Mock:
        known = self.images | {str(image.id): image for image in self.made}
        if name not in known:
            raise docker.errors.ImageNotFound(name)
        return known[name]

    def pull(self, _: Any, reference: str, platform: str, auth: Any, show: Any) -> str:
        self.pulled.append(reference)
        answer = self.registry.get(reference, NO_NETWORK)
        if isinstance(answer, str):
            raise PullError(classify_failure(answer), answer)
        digest = str(answer.attrs["RepoDigests"][0])
        self.images |= {reference: answer, digest: answer}
        return digest.partition("@")[2]

    def make(self, _: Any, settings: ImageSettings, reason: str) -> tuple[str, str]:
        self.made.append(image("made", (MADE,)))
        return MADE, "sha256:made"


def pins(root: Path) -> str:
    path = root / base_lock.LOCK_FILE
    return path.read_text(encoding="utf-8").removeprefix(base_lock.HEADER) if path.exists() else ""


def pin(root: Path, text: str = f"3.11 linux/amd64 {OLD}\n") -> None:
    (root / base_lock.LOCK_FILE).write_text(base_lock.HEADER + text, encoding="utf-8")


def problem(engine: Engine, root: Path, settings: ImageSettings, again: bool = False) -> str:
    get = base_image.refresh if again else base_image.ensure
    with pytest.raises(DeployError) as caught:
        get(engine.client, settings, root)
    return str(caught.value)
