"""Flows on the bases that users have: the official Python image, and a distroless one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from deploy.build import flow_image
from deploy.config import configuration
from deploy.core.entities import Image
from deploy.delivery import resolve_image
from deploy.docker import engine
from tests import projects
from tests.integration.conftest import Start
from tests.projects import FIXTURE

# Modules that the server imports from the standard library, and where their bytecode must be.
CODE = """
import asyncio.events, email.message, http.client, importlib.util, json.decoder, pathlib, ssl, sys
found = [name for name in ("asyncio.events", "email.message", "http.client", "json.decoder", "ssl")
         if not pathlib.Path(importlib.util.cache_from_source(sys.modules[name].__file__)).exists()]
# PEP 552: bit 0 says checked by a hash, bit 1 that the source is looked at.
flags = {path.read_bytes()[4] for path in pathlib.Path(json.__file__).parent.rglob("*.pyc")}
print(found, flags)
"""


@pytest.fixture
def on_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], configuration.Project]:
    """Return a function that makes a project whose flow is on the base that it is given."""
    monkeypatch.delenv("FLOW_BASE_IMAGE", raising=False)

    def make(base: str) -> configuration.Project:
        names = ("requirements.txt", "requirements.lock")
        files = {f"flows/hello/{n}": (FIXTURE / "flows/faq" / n).read_text("utf-8") for n in names}
        files["flows/hello/deploy.yaml"] = f"{projects.DEPLOY}image: {{base: '{base}'}}\n"
        project = projects.make(tmp_path, files)
        monkeypatch.chdir(project.root)
        return project

    return make


def build(project: configuration.Project) -> Image:
    flow = configuration.load_flow(project, "hello")
    return resolve_image.build_image(project, flow, context=project.root / "context")


@pytest.mark.parametrize("base", ["official_python", "distroless_python"])
def test_a_flow_answers_on_it(
    base: str,
    on_base: Callable[[str], configuration.Project],
    client: docker.DockerClient,
    start: Start,
    request: pytest.FixtureRequest,
) -> None:
    reference = request.getfixturevalue(base)
    project = on_base(reference)
    made = build(project)
    # Another test may have built it, from another registry: the digest counts.
    digest = reference.partition("@")[2]
    assert made.base.endswith(f"@{digest}")
    recipe = (project.root / "context/Dockerfile").read_text(encoding="utf-8")
    assert recipe.startswith(f"FROM {reference}\n")
    settings = client.images.get(made.id).attrs["Config"]
    assert not settings.get("Entrypoint")
    assert settings["User"] == "10001:10001"
    running = start(made)
    answer = running.post({"question": "why?"})
    assert (answer.status_code, answer.json()) == (200, {"answer": "you asked why?"})
    output = running.container.exec_run(["python3", "-c", CODE]).output
    assert output == b"[] {1}\n"


def test_another_platform_of_the_official_image_is_built_without_emulation(
    on_base: Callable[[str], configuration.Project],
    official_python: str,
    client: docker.DockerClient,
) -> None:
    other = {"linux/amd64": "linux/arm64", "linux/arm64": "linux/amd64"}[
        engine.native_platform(client)
    ]
    project = on_base(official_python)
    flow = configuration.load_flow(project, "hello")
    foreign = replace(flow, image=replace(flow.image, platform=other))
    folder = project.root / "foreign"
    made = flow_image.build(client, foreign, project.root, engine.find_endpoint(), folder)
    attributes = client.images.get(made.id).attrs
    assert f"{attributes['Os']}/{attributes['Architecture']}" == other
    # Bytecode is the same on all platforms, and the index has one version of Python.
    recipe = (folder / "Dockerfile").read_text(encoding="utf-8")
    assert "COPY bytecode/ /usr/local/lib/python3.11/" in recipe
    # And back: the engine now has the other platform under the same digest.
    assert build(project).platform == engine.native_platform(client)
    recipe = (project.root / "context/Dockerfile").read_text(encoding="utf-8")
    # The classic store has one platform a digest, that of containerd has all.
    assert recipe.startswith(("FROM flow-base-pulled:", f"FROM {official_python}\n"))
    client.images.remove(official_python, force=True)


def test_the_same_context_by_hand_keeps_the_contract(
    on_base: Callable[[str], configuration.Project],
    official_python: str,
    client: docker.DockerClient,
    start: Start,
) -> None:
    project = on_base(official_python)
    folder = project.root / "context"
    made = resolve_image.build_image(
        project, configuration.load_flow(project, "hello"), context=folder
    )
    about = json.loads((folder / "app/about.json").read_text(encoding="utf-8"))
    assert about["tag"] == made.tag
    client.images.build(path=str(folder), tag="by-hand:official", rm=True)
    try:
        by_hand = replace(made, id=str(client.images.get("by-hand:official").id))
        running = start(by_hand)
        assert running.get("/health").status_code == 200
        assert running.get("/version").json()["tag"] == made.tag
        # Podman does not remove an image that runs.
        running.container.kill()
    finally:
        client.images.remove("by-hand:official", force=True)
