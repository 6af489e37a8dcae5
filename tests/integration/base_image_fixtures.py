"""Fixtures of tests of base images: a home of their own, and variants of a base."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import docker.errors
import pytest

from deploy.build import base_image
from deploy.core.entities import ImageSettings
from deploy.core.errors import DeployError
from tests.projects import FIXTURE

Variant = Callable[[str], str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No credentials, no results of other runs, and a folder of its own for base.lock."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def variant(client: docker.DockerClient) -> Iterator[Variant]:
    """Return a function that makes an image of lines of a Dockerfile on the base of the flows."""
    base = base_image.find(client, ImageSettings(), FIXTURE)
    assert base is not None
    images: list[str] = []

    def make(lines: str) -> str:
        text = lines if lines.startswith("FROM") else f"FROM {base.reference}\n{lines}\n"
        image, _ = client.images.build(fileobj=io.BytesIO(text.encode()), rm=True)
        images.append(str(image.id))
        return str(image.id)

    yield make
    for image in images:
        with contextlib.suppress(docker.errors.APIError):
            client.images.remove(image, force=True)


def problem(client: docker.DockerClient, root: Path, settings: ImageSettings | None = None) -> str:
    with pytest.raises(DeployError) as caught:
        base_image.ensure(client, settings or ImageSettings(), root)
    return str(caught.value)
