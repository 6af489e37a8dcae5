"""Which base image is chosen, what is pinned, and the error where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import docker.errors
import pytest

from deploy.build import base_image, base_image_store, base_lock, base_pull, debian_base
from deploy.build.base_image import BaseImage
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


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.chdir(tmp_path)
    made = Engine()
    monkeypatch.setattr(base_pull, "pull", made.pull)
    monkeypatch.setattr(debian_base, "make", made.make)
    yield made


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


def test_the_official_one_is_pulled_and_pinned(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.registry[OFFICIAL] = image("new", digests=(NEW,))
    base = base_image.ensure(engine.client, ImageSettings(), tmp_path)
    assert base == BaseImage(NEW, "sha256:new")
    assert pins(tmp_path) == f"3.11 linux/amd64 {NEW}\n"
    assert f"base      {NEW} is pinned in base.lock: commit that file\n" in capsys.readouterr().err


def test_a_fresh_clone_pins_what_the_engine_has(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.images[OFFICIAL] = image("there", digests=(f"docker.io/library/{NEW}",))
    found = base_image.find(engine.client, ImageSettings(), tmp_path)
    assert pins(tmp_path) == "", "looking writes nothing"
    base = base_image.ensure(engine.client, ImageSettings(), tmp_path)
    assert found == base == BaseImage(f"docker.io/library/{NEW}", "sha256:there")
    assert engine.pulled == []
    assert pins(tmp_path) == f"3.11 linux/amd64 docker.io/library/{NEW}\n"
    assert "is pinned in base.lock: commit that file\n" in capsys.readouterr().err


def test_an_image_of_that_name_without_a_digest_is_not_the_official_one(
    engine: Engine, tmp_path: Path
) -> None:
    engine.images[OFFICIAL] = image("loaded")
    assert base_image.ensure(engine.client, ImageSettings(), tmp_path).reference == MADE
    assert pins(tmp_path) == ""


def test_a_pin_is_pulled_by_its_digest(engine: Engine, tmp_path: Path) -> None:
    pin(tmp_path)
    engine.images[OFFICIAL] = image("other", digests=(NEW,))
    engine.made = [image("made", (MADE,))]
    engine.registry[OLD] = image("old", digests=(OLD,))
    assert base_image.find(engine.client, ImageSettings(), tmp_path) is None
    base = base_image.ensure(engine.client, ImageSettings(), tmp_path)
    assert base == BaseImage(OLD, "sha256:old")
    assert pins(tmp_path) == f"3.11 linux/amd64 {OLD}\n"


def test_no_other_base_takes_the_place_of_a_pin(engine: Engine, tmp_path: Path) -> None:
    pin(tmp_path)
    engine.images[OFFICIAL] = image("other", digests=(NEW,))
    engine.made = [image("made", (MADE,))]
    assert problem(engine, tmp_path, ImageSettings()) == (
        f"base image {OLD}: the engine cannot reach its registry ({NO_NETWORK})\n"
        "  → let the engine reach it (a proxy is set on the engine), or set image.base or "
        "FLOW_BASE_IMAGE to a copy on a registry that it reaches; base.lock pins it, so no other "
        "base takes its place"
    )
    assert engine.pulled == [OLD]


def test_without_a_network_one_is_made(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert base_image.ensure(engine.client, ImageSettings(), tmp_path).reference == MADE
    assert pins(tmp_path) == ""
    # The next build asks no registry.
    assert base_image.ensure(engine.client, ImageSettings(), tmp_path).reference == MADE
    assert engine.pulled == [OFFICIAL]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            LIMIT,
            f"its registry limits how often this address pulls ({LIMIT})\n"
            "  → `docker login`, which raises the limit; or set a mirror in the engine's "
            "registry-mirrors; or set image.base or FLOW_BASE_IMAGE to an image on a registry "
            "without such a limit",
        ),
        (
            "unauthorized: incorrect username or password",
            "its registry refuses the pull (unauthorized: incorrect username or password)\n"
            "  → `docker login` with a user who may pull it",
        ),
        (
            "manifest unknown",
            "its registry has no such image (manifest unknown)\n"
            "  → correct the name: image.python names it",
        ),
        (
            "no matching manifest for linux/amd64 in the manifest list entries",
            "its registry has no image for linux/amd64 (no matching manifest for linux/amd64 in "
            "the manifest list entries)\n"
            "  → set image.platform to a platform that it has, or choose another base",
        ),
        (
            "received unexpected HTTP status: 503 Service Unavailable",
            "its registry fails (received unexpected HTTP status: 503 Service Unavailable)\n"
            "  → try again in some minutes; its operator's status page may say more",
        ),
        (
            "write /x: no space left on device",
            "the disk of the engine is full (write /x: no space left on device)\n"
            "  → make room: `docker system df`, `docker system prune`",
        ),
        (
            "something new",
            f"it cannot be pulled (something new)\n  → `docker pull {OFFICIAL}` shows more",
        ),
    ],
)
def test_each_other_reason_is_an_error(
    text: str, message: str, engine: Engine, tmp_path: Path
) -> None:
    engine.registry[OFFICIAL] = text
    assert problem(engine, tmp_path, ImageSettings()) == f"base image {OFFICIAL}: {message}"
    assert (engine.made, pins(tmp_path)) == ([], "")


def test_a_base_of_ones_own_is_never_replaced(engine: Engine, tmp_path: Path) -> None:
    settings = ImageSettings(base="registry.example/python:1")
    engine.made = [image("made", (MADE,))]
    assert problem(engine, tmp_path, settings) == (
        f"base image registry.example/python:1: the engine cannot reach its registry ({NO_NETWORK})\n"
        "  → let the engine reach it (a proxy is set on the engine), or set image.base or "
        "FLOW_BASE_IMAGE to a copy on a registry that it reaches"
    )
    engine.registry["registry.example/python:1"] = "denied: no"
    assert problem(engine, tmp_path, settings) == (
        "base image registry.example/python:1: its registry refuses the pull (denied: no)\n"
        "  → `docker login registry.example` with a user who may pull it"
    )


def test_a_missing_helper_is_named_where_the_anonymous_pull_fails(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text('{"credsStore": "desktop"}', encoding="utf-8")
    engine.registry[OFFICIAL] = LIMIT
    assert problem(engine, tmp_path, ImageSettings()) == (
        f"base image {OFFICIAL}: its registry limits how often this address pulls ({LIMIT}); it "
        "was asked without credentials, as docker-credential-desktop is not on the path\n"
        "  → install that helper, or take it out of config.json of the docker command; or `docker "
        "login`, which raises the limit; or set a mirror in the engine's registry-mirrors; or set "
        "image.base or FLOW_BASE_IMAGE to an image on a registry without such a limit"
    )
    engine.registry[OFFICIAL] = image("new", digests=(NEW,))
    assert base_image.ensure(engine.client, ImageSettings(), tmp_path).reference == NEW


def test_another_platform_than_asked_for(engine: Engine, tmp_path: Path) -> None:
    engine.registry[OFFICIAL] = image("new", digests=(NEW,))
    assert problem(engine, tmp_path, ImageSettings(platform="linux/arm64")) == (
        f"base image {OFFICIAL}: its registry sent it for linux/amd64, and linux/arm64 was asked "
        "for\n"
        "  → choose a base that is published for that platform: image.base"
    )
    assert pins(tmp_path) == ""


def test_refresh_moves_the_pin(engine: Engine, tmp_path: Path) -> None:
    pin(tmp_path, f"3.11 linux/amd64 {OLD}\n3.12 linux/arm64 {OLD}\n")
    engine.images[OLD] = image("old", digests=(OLD,))
    engine.registry[OFFICIAL] = image("new", digests=(NEW, OLD))
    assert base_image.refresh(engine.client, ImageSettings(), tmp_path).reference == NEW
    assert pins(tmp_path) == f"3.11 linux/amd64 {NEW}\n3.12 linux/arm64 {OLD}\n"


def test_a_refresh_that_fails_keeps_the_pin(engine: Engine, tmp_path: Path) -> None:
    pin(tmp_path)
    engine.images[OFFICIAL] = image("old", digests=(OLD,))
    for text in (LIMIT, NO_NETWORK):
        engine.registry[OFFICIAL] = text
        message = problem(engine, tmp_path, ImageSettings(), again=True)
        assert message.startswith(f"base image {OFFICIAL}: ")
        assert text in message
    assert (engine.made, pins(tmp_path)) == ([], f"3.11 linux/amd64 {OLD}\n")


def test_refresh_removes_a_made_base_after_the_new_one_is_there(
    engine: Engine, tmp_path: Path
) -> None:
    older = "flow-base:python3.11-bookworm-amd64-111111111111"
    engine.made = [image("older", (older, MADE, "own:1"))]
    assert base_image.refresh(engine.client, ImageSettings(), tmp_path).reference == MADE
    assert engine.removed == [older]


def test_the_image_of_a_platform_where_the_engine_has_several() -> None:
    client = Mock()
    client.api._version = "1.49"
    client.images.get.return_value = image("native", digests=(NEW,))
    client.info.return_value = {}
    attrs = {"Id": "sha256:index", "Os": "linux", "Architecture": "arm64"}
    client.api._result.return_value = attrs
    found = base_image_store.find(client, NEW, "linux/arm64")
    assert found is not None
    assert (found[0].attrs, found[1]) == (attrs, "")
    wanted = {"platform": '{"os": "linux", "architecture": "arm64"}'}
    assert client.api._get.call_args.kwargs == {"params": wanted}
    client.api._result.side_effect = docker.errors.NotFound("no such platform")
    assert base_image_store.find(client, NEW, "linux/arm64") is None


def test_the_digest_of_the_repository_itself() -> None:
    found = image("x", digests=(f"corp/my{OLD}", f"docker.io/library/{NEW}"))
    assert base_pull.add_digest(found, OFFICIAL) == f"docker.io/library/{NEW}"
    two = image("x", digests=(OLD, NEW))
    assert base_pull.add_digest(two, OFFICIAL, NEW.partition("@")[2]) == NEW
    assert base_pull.add_digest(two, "localhost:5000/python") == "localhost:5000/python"
    assert base_pull.add_digest(two, f"x@sha256:{'c' * 64}") == f"x@sha256:{'c' * 64}"


@pytest.mark.parametrize(
    "line",
    [
        "3.11 linux/amd64 python:3.11-slim-bookworm",
        "3.11 linux/amd64",
        f"3.11 linux/amd64 {OLD} x",
        f"3.11 linux/amd64 {OLD[:-1]}",
        "<<<<<<< HEAD",
    ],
)
def test_a_line_that_cannot_be_read(line: str, engine: Engine, tmp_path: Path) -> None:
    pin(tmp_path, f"\n{line}\n")
    assert problem(engine, tmp_path, ImageSettings()) == (
        "base.lock:3: this line is not `‹Python› ‹platform› ‹image›@sha256:‹digest›`\n"
        "  → correct it, or remove it and run `inv base`"
    )
    assert engine.pulled == []


def test_two_lines_for_the_same_base(engine: Engine, tmp_path: Path) -> None:
    pin(tmp_path, f"3.11 linux/amd64 {OLD}\n3.11  linux/amd64 {NEW}\n")
    assert problem(engine, tmp_path, ImageSettings()) == (
        "base.lock:3: there is another line for 3.11 linux/amd64\n  → keep one of the two"
    )


def test_nothing_without_a_digest_is_pinned(tmp_path: Path) -> None:
    with pytest.raises(DeployError) as caught:
        base_lock.write_pin(tmp_path, ImageSettings(), OFFICIAL)
    assert str(caught.value) == (
        f"base.lock: {OFFICIAL} has no digest, so it cannot be pinned\n  → pull it from a registry"
    )


def test_what_files_alone_tell(tmp_path: Path) -> None:
    assert base_image.find_pinned(ImageSettings(), tmp_path) is None
    assert base_image.find_pinned(ImageSettings(base="own:1"), tmp_path) is None
    assert base_image.find_pinned(ImageSettings(base=NEW), tmp_path) == BaseImage(NEW, "")
    pin(tmp_path)
    assert base_image.find_pinned(ImageSettings(), tmp_path) == BaseImage(OLD, "")
    assert base_image.find_pinned(ImageSettings(system_packages=("jq",)), tmp_path) is None


def test_every_base_that_flows_need() -> None:
    flows = [
        ImageSettings(origin="a"),
        ImageSettings("3.12", "linux/arm64", origin="b"),
        ImageSettings(base="own:1", system_packages=("jq",), origin="c"),
    ]
    assert base_image.list_base_settings(flows, None, "linux/amd64") == [
        ImageSettings(),
        ImageSettings("3.12", "linux/arm64"),
        ImageSettings(base="own:1"),
        ImageSettings("3.12", "linux/amd64"),
        ImageSettings(base="own:1", system_packages=("jq",)),
    ]
