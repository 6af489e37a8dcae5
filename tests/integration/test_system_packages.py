"""Debian packages that a flow needs, on each kind of base: installed, found again, refused."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest

from deploy.build import base_image, interpreter
from deploy.build.base_image import BaseImage
from deploy.config import configuration
from deploy.core.entities import Image, ImageSettings
from deploy.delivery import resolve_image
from tests import projects
from tests.integration.base_image_fixtures import Variant, problem
from tests.projects import FIXTURE

pytestmark = pytest.mark.usefixtures("home")


def with_packages(*names: str, base: str | None = None) -> ImageSettings:
    return ImageSettings(base=base, system_packages=names, origin="flows/faq/deploy.yaml")


@pytest.fixture
def derived(client: docker.DockerClient) -> Iterator[list[BaseImage]]:
    """Bases that are removed at the end."""
    made: list[BaseImage] = []
    yield made
    for base in made:
        with contextlib.suppress(docker.errors.APIError):
            client.images.remove(base.reference)


def output(client: docker.DockerClient, base: BaseImage, *command: str) -> str:
    text: bytes = client.containers.run(
        base.id,
        entrypoint=list(command),
        remove=True,
        stderr=True,
        network_mode="none",
        user="10001:10001",
    )
    return text.decode()


def build(root: Path) -> Image:
    """Build a flow whose deploy.yaml asks for poppler-utils."""
    names = ("requirements.txt", "requirements.lock")
    files = {f"flows/hello/{n}": (FIXTURE / "flows/faq" / n).read_text("utf-8") for n in names}
    project = projects.make(root / "project", files)
    path = project.root / "flows/hello/deploy.yaml"
    path.write_text(projects.DEPLOY + "image: {system_packages: [poppler-utils]}\n", "utf-8")
    return resolve_image.build_image(project, configuration.load_flow(project, "hello"))


@pytest.mark.slow
def test_system_packages_on_a_base_that_was_made_here(
    client: docker.DockerClient, derived: list[BaseImage], home: Path
) -> None:
    plain = base_image.find(client, ImageSettings(), FIXTURE)
    if plain is None or not plain.reference.startswith(f"{base_image.LOCAL_REPOSITORY}:"):
        pytest.skip("the official image was pulled")
    settings = with_packages("poppler-utils")
    base = base_image.ensure(client, settings, FIXTURE)
    derived.append(base)
    assert base_image.find(client, settings, FIXTURE) == base
    assert base_image.find(client, ImageSettings(), FIXTURE) == plain
    assert "pdftotext version" in output(client, base, "pdftotext", "-v")
    found = interpreter.examine(client, base, settings, True)
    assert (found.version, found.compiled) == ("3.11", True)
    code = "import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 100)"
    assert output(client, base, "python3", "-c", code) == "True\n"
    image = build(home)
    assert image.base == base.reference
    assert "pdftotext version" in output(client, BaseImage("", image.id), "pdftotext", "-v")
    assert problem(client, FIXTURE, with_packages("popler-utils")).startswith(
        "flows/faq/deploy.yaml: image.system_packages: there is no package popler-utils for "
    )


@pytest.fixture(scope="module")
def other_user(
    client: docker.DockerClient, official_python: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The official image, which runs a program of its own as another user."""
    # On the classic store its digest may name the image of another platform by now.
    settings = ImageSettings(base=official_python)
    official = base_image.ensure(client, settings, tmp_path_factory.mktemp("official"))
    dockerfile = f'FROM {official.build_reference}\nUSER 65532\nENTRYPOINT ["/nothing"]\nENV A=b\n'
    tag = "own-base:other-user"
    client.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=tag, rm=True)
    yield tag
    client.images.remove(tag, force=True)
    client.images.remove(official.build_reference, force=True)


def test_system_packages_on_a_base_with_apt(
    client: docker.DockerClient,
    other_user: str,
    derived: list[BaseImage],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
) -> None:
    monkeypatch.setenv("ftp_proxy", "http://user:hunter2@127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:1")
    settings = with_packages("poppler-utils", base=other_user)
    base = base_image.ensure(client, settings, home)
    derived.append(base)
    assert base_image.find(client, settings, home) == base
    assert base_image.ensure(client, settings, home) == base
    assert "pdftotext version" in output(client, base, "pdftotext", "-v")
    image, below = client.images.get(base.id), client.images.get(other_user)
    for key in ("User", "Entrypoint", "Env", "Cmd", "WorkingDir"):
        assert image.attrs["Config"][key] == below.attrs["Config"][key], key
    assert "hunter2" not in str(image.attrs)
    assert "hunter2" not in str(image.history())
    assert interpreter.examine(client, base, settings, True).version == "3.11"
    # The same versions give the same tag.
    again = base_image.refresh(client, settings, home)
    derived.append(again)
    assert again == base
    assert again.content_id == base.reference


def test_a_package_that_does_not_exist(
    client: docker.DockerClient, other_user: str, home: Path
) -> None:
    before = children(client, other_user)
    assert problem(client, home, with_packages("popler-utils", "jq", base=other_user)) == (
        "flows/faq/deploy.yaml: image.system_packages: there is no package popler-utils for the "
        "base image own-base:other-user\n"
        "  → correct the name; `apt-cache search ‹word›` finds names"
    )
    assert problem(client, home, with_packages("jq=0", base=other_user)) == (
        "flows/faq/deploy.yaml: image.system_packages: there is no version 0 of jq for the base "
        "image own-base:other-user\n"
        "  → remove the version: the newest one of the release is then installed"
    )
    assert children(client, other_user) == before, "steps that failed leave no image"


def children(client: docker.DockerClient, reference: str) -> set[str]:
    """Return the images that steps of a Dockerfile made on `reference`; other tests make others."""
    parent = client.images.get(reference).id
    return {row["Id"] for row in client.api.images(all=True) if row["ParentId"] == parent}


def test_system_packages_need_apt(
    client: docker.DockerClient, variant: Variant, home: Path
) -> None:
    image = variant("ENV A=b")
    client.images.get(image).tag("own-base", "no-apt")
    try:
        assert problem(client, home, with_packages("jq", base="own-base:no-apt")) == (
            "base image own-base:no-apt: it has no apt-get, which image.system_packages needs\n"
            "  → install the packages in that base itself, or choose one of Debian or Ubuntu"
        )
    finally:
        client.images.remove("own-base:no-apt")
