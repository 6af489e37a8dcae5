"""Bases on a real engine: pulled from a registry that fails in many ways, examined, and extended."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest

from deploy.build import base_image, base_image_store, base_lock, debian_base, interpreter
from deploy.build.base_image import BaseImage
from deploy.core.entities import ImageSettings
from deploy.core.errors import DeployError
from deploy.docker import engine, pull
from tests.faulty_registry import Fault, Registry, digest_of
from tests.integration.base_image_fixtures import Variant, problem

pytestmark = pytest.mark.usefixtures("home")
HTML = b"<html>blocked by the firewall</html>"
LIMIT = b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}'
DENIED = b'{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}'


@pytest.fixture
def registry(
    request: pytest.FixtureRequest,
    client: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
    made: list[str],
) -> Iterator[Registry]:
    """A registry that has the official image, and layers that no other test has pulled."""
    seed = int(digest_of(request.node.name.encode())[7:15], 16)
    server = Registry(("amd64", "arm64"), seed)
    monkeypatch.setattr(base_image, "OFFICIAL_IMAGE", f"{server.repository}:1")
    yield server
    server.close()
    digests = [name.removeprefix("/manifests/") for name in server.content if "manifests" in name]
    aliases = {
        base_image_store.make_alias(f"{server.repository}@{digest}", f"linux/{architecture}")
        for digest in digests
        for architecture in ("amd64", "arm64")
    }
    for image in engine.list_images(client):
        names = [*image.tags, *(image.attrs["RepoDigests"] or [])]
        if aliases.intersection(names) or any(n.startswith(server.repository) for n in names):
            client.images.remove(str(image.id), force=True)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the reasons for which a base was to be made."""
    reasons: list[str] = []

    def make(_: docker.DockerClient, settings: ImageSettings, reason: str) -> tuple[str, str]:
        reasons.append(reason)
        return "flow-base:made", "sha256:made"

    monkeypatch.setattr(debian_base, "make", make)
    monkeypatch.setattr(debian_base, "find", lambda *_: [])
    return reasons


def pins(root: Path) -> str:
    path = root / base_lock.LOCK_FILE
    return path.read_text(encoding="utf-8").removeprefix(base_lock.HEADER) if path.exists() else ""


def test_it_is_pulled_pinned_and_refreshed(
    client: docker.DockerClient,
    home: Path,
    registry: Registry,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = base_image.ensure(client, ImageSettings(), home)
    assert first.reference == f"{registry.repository}@{registry.digest}"
    assert pins(home) == f"3.11 linux/amd64 {first.reference}\n"
    assert client.images.get(first.reference).id == first.id
    # The tag moves; the pin does not.
    registry.publish(registry.seed + 1)
    assert base_image.ensure(client, ImageSettings(), home) == first
    client.images.remove(first.id, force=True)
    assert base_image.ensure(client, ImageSettings(), home) == first
    second = base_image.refresh(client, ImageSettings(), home)
    assert second.reference == f"{registry.repository}@{registry.digest}"
    assert second != first
    assert pins(home) == f"3.11 linux/amd64 {second.reference}\n"


def test_a_fresh_clone_pins_what_the_engine_has(
    client: docker.DockerClient, home: Path, registry: Registry
) -> None:
    client.images.pull(registry.repository, tag="1", platform="linux/amd64")
    registry.faults = [Fault("/", 503)]
    base = base_image.ensure(client, ImageSettings(), home)
    assert base.reference == f"{registry.repository}@{registry.digest}"
    assert pins(home) == f"3.11 linux/amd64 {base.reference}\n"


def test_each_platform_has_its_own_line(
    client: docker.DockerClient, home: Path, registry: Registry
) -> None:
    both = [ImageSettings(), ImageSettings(platform="linux/arm64")]
    first = [base_image.ensure(client, settings, home) for settings in both]
    reference = f"{registry.repository}@{registry.digest}"
    assert pins(home) == f"3.11 linux/amd64 {reference}\n3.11 linux/arm64 {reference}\n"
    # The engine has both from now on, though one digest names both.
    registry.faults = [Fault("/", 503)]
    assert [base_image.ensure(client, settings, home) for settings in both] == first
    assert [base_image.find(client, settings, home) for settings in both] == first
    assert len({base.id for base in first}) == len({base.build_reference for base in first}) == 2
    for base, settings in zip(first, both, strict=True):
        image, _ = client.images.build(
            fileobj=io.BytesIO(f"FROM {base.build_reference}\nLABEL a=b\n".encode()),
            platform=settings.platform,
        )
        assert image.attrs["Parent"] == base.id
        client.images.remove(str(image.id), noprune=True)


def test_both_platforms_of_a_pin(
    client: docker.DockerClient, home: Path, registry: Registry
) -> None:
    both = [ImageSettings(), ImageSettings(platform="linux/arm64")]
    for settings in both:
        base_lock.write_pin(home, settings, f"{registry.repository}@{registry.digest}")
    first = [base_image.ensure(client, settings, home) for settings in both]
    registry.faults = [Fault("/", 503)]
    again = [base_image.ensure(client, settings, home) for settings in both]
    assert [base.id for base in again] == [base.id for base in first]
    assert len({base.build_reference for base in again}) == 2


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (Fault("/manifests/", 429, LIMIT), "its registry limits the pulls from this address"),
        (Fault("/blobs/", 429, LIMIT), "its registry limits the pulls from this address"),
        (Fault("/manifests/", 401, DENIED), "its registry refuses the pull"),
        (Fault("/manifests/", 404), "its registry has no such image"),
        (Fault("/manifests/", 503), "its registry fails"),
    ],
)
def test_a_registry_that_answers_is_not_replaced(
    fault: Fault,
    what: str,
    client: docker.DockerClient,
    home: Path,
    registry: Registry,
    made: list[str],
) -> None:
    registry.faults = [fault]
    message = problem(client, home)
    assert message.startswith(f"base image {registry.repository}:1: {what} (")
    assert "\n  → " in message
    assert (made, pins(home)) == ([], "")


def test_an_image_without_the_platform(
    client: docker.DockerClient, home: Path, registry: Registry, made: list[str]
) -> None:
    registry.platforms = ("arm64",)
    registry.publish(registry.seed + 1)
    message = problem(client, home)
    assert message.startswith(
        f"base image {registry.repository}:1: its registry has no image for linux/amd64 ("
    )
    assert message.endswith(
        "→ set image.platform to a platform that it has, or choose another base"
    )
    assert made == []


def test_a_registry_that_stalls(
    client: docker.DockerClient,
    home: Path,
    registry: Registry,
    made: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pull, "STALL_SECONDS", 1.0)
    registry.faults = [Fault("/blobs/", stall=True)]
    assert problem(client, home) == (
        f"base image {registry.repository}:1: its registry stalls (no data has arrived for 1 s)\n"
        "  → try again: downloaded layers are kept"
    )
    assert made == []


def test_a_pull_that_fails_is_no_success_though_the_engine_has_the_tag(
    client: docker.DockerClient, home: Path, registry: Registry
) -> None:
    first = base_image.ensure(client, ImageSettings(), home)
    registry.publish(registry.seed + 1)
    registry.faults = [Fault("/blobs/", 401, DENIED)]
    with pytest.raises(DeployError, match="its registry refuses the pull"):
        base_image.refresh(client, ImageSettings(), home)
    assert pins(home) == f"3.11 linux/amd64 {first.reference}\n"


@pytest.mark.parametrize("status", [403, 407])
def test_a_closed_network(
    status: int, client: docker.DockerClient, home: Path, registry: Registry, made: list[str]
) -> None:
    registry.faults = [Fault("/v2/", status, HTML)]
    assert base_image.ensure(client, ImageSettings(), home).reference == "flow-base:made"
    assert made[0].startswith(f"{registry.repository}:1 cannot be pulled (")


def test_no_network(
    client: docker.DockerClient, home: Path, registry: Registry, made: list[str]
) -> None:
    registry.close()
    assert base_image.ensure(client, ImageSettings(), home).reference == "flow-base:made"
    # Nothing but the pinned one with a pin.
    base_lock.write_pin(home, ImageSettings(), f"{registry.repository}@{registry.digest}")
    message = problem(client, home)
    assert "the engine cannot reach its registry (" in message
    assert message.endswith("base.lock pins it, so no other base replaces it")
    assert len(made) == 1


def test_a_missing_helper_is_no_failure_of_a_public_registry(
    client: docker.DockerClient, home: Path, registry: Registry
) -> None:
    (home / "docker").mkdir()
    (home / "docker/config.json").write_text('{"credsStore": "desktop"}', encoding="utf-8")
    assert base_image.ensure(client, ImageSettings(), home).reference.endswith(registry.digest)
    registry.faults = [Fault("/", 401, DENIED)]
    client.images.remove(f"{registry.repository}:1", force=True)
    assert "because docker-credential-desktop is not on the path" in problem(client, home)


def test_progress(
    client: docker.DockerClient, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[float, str]] = []
    start = time.monotonic()
    pull.pull(
        client,
        f"{registry.repository}:1",
        "linux/amd64",
        {},
        lambda text: shown.append((time.monotonic() - start, text)),
    )
    assert shown[-1][1] == "2 of 2 layers, 4.0 of 4.0 MB"


def examined(client: docker.DockerClient, image: str, python: str = "3.11") -> str:
    """Return what the examination says, or the version of Python."""
    client.images.get(image).tag("corp/python", "1")
    try:
        chosen = ImageSettings(python, origin="flows/faq/deploy.yaml")
        return interpreter.examine(client, BaseImage("corp/python:1", image), chosen, True).version
    except DeployError as error:
        return str(error).partition("\n")[0]


@pytest.mark.alone
def test_a_base_with_an_entry_point_a_user_and_no_shell(
    client: docker.DockerClient, variant: Variant
) -> None:
    image = variant('ENTRYPOINT ["/nothing"]\nUSER 65532\nWORKDIR /elsewhere\nVOLUME /data')
    volumes = len(client.volumes.list())
    start = time.monotonic()
    assert examined(client, image) == "3.11"
    first, start = time.monotonic() - start, time.monotonic()
    assert examined(client, image) == "3.11"
    assert time.monotonic() - start < first / 5
    assert len(client.volumes.list()) == volumes, "the volume of the container is removed"


def test_a_distroless_base(client: docker.DockerClient, distroless_python: str) -> None:
    """It has an entry point, another user than root, and no shell."""
    settings = ImageSettings(base=distroless_python)
    base = base_image.ensure(client, settings, Path.cwd())
    found = interpreter.examine(client, base, settings, True)
    assert (found.version, found.libc) == ("3.11", "glibc")
    client.images.remove(distroless_python, force=True)


def test_bases_that_do_not_fit(client: docker.DockerClient, variant: Variant) -> None:
    assert examined(client, variant("ENV A=b"), python="3.12") == (
        "base image corp/python:1: it has Python 3.11, and flows/faq/deploy.yaml requires 3.12"
    )
    assert examined(client, variant("ENV PATH=/nothing")) == (
        "base image corp/python:1: it has no python3 on its PATH"
    )
    assert examined(client, variant("FROM scratch\nENV A=b")) == (
        "base image corp/python:1: it has no python3 on its PATH"
    )
    assert examined(client, variant("ENV PYTHONHOME=/nothing")) == (
        "base image corp/python:1: its python3 fails (exit code 1):"
    )
    assert examined(client, variant("VOLUME /app/flow")) == (
        "base image corp/python:1: its volume /app/flow would hide the flow's files in /app"
    )
