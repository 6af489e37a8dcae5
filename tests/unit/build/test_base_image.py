"""Which base image is used, and the error if there is none."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import docker.errors
import pytest

from deploy.build import base_image, base_image_store
from deploy.build.base_image import BaseImage
from deploy.core.entities import ImageSettings
from tests.unit.build.fake_engine import (
    LIMIT,
    MADE,
    NEW,
    NO_NETWORK,
    OFFICIAL,
    OLD,
    Engine,
    image,
    pin,
    pins,
    problem,
)


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
            f"its registry limits the pulls from this address ({LIMIT})\n"
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
            "  → try again in a few minutes, or see the registry's status page",
        ),
        (
            "write /x: no space left on device",
            "the disk of the engine is full (write /x: no space left on device)\n"
            "  → free disk space: `docker system df`, `docker system prune`",
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


def test_a_custom_base_is_never_replaced(engine: Engine, tmp_path: Path) -> None:
    settings = ImageSettings(base="registry.example/python:1")
    engine.made = [image("made", (MADE,))]
    assert problem(engine, tmp_path, settings) == (
        f"base image registry.example/python:1: the engine cannot reach its registry ({NO_NETWORK})\n"
        "  → let the engine reach it (a proxy is set on the engine), or set image.base or "
        "FLOW_BASE_IMAGE to a copy in a registry that it reaches"
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
        f"base image {OFFICIAL}: its registry limits the pulls from this address ({LIMIT}); "
        "no credentials were sent, because docker-credential-desktop is not on the path\n"
        "  → install that helper, or remove it from config.json of the docker command; or `docker "
        "login`, which raises the limit; or set a mirror in the engine's registry-mirrors; or set "
        "image.base or FLOW_BASE_IMAGE to an image on a registry without such a limit"
    )
    engine.registry[OFFICIAL] = image("new", digests=(NEW,))
    assert base_image.ensure(engine.client, ImageSettings(), tmp_path).reference == NEW


def test_a_wrong_platform(engine: Engine, tmp_path: Path) -> None:
    engine.registry[OFFICIAL] = image("new", digests=(NEW,))
    assert problem(engine, tmp_path, ImageSettings(platform="linux/arm64")) == (
        f"base image {OFFICIAL}: its registry returned the image for linux/amd64 instead of "
        "linux/arm64\n"
        "  → choose a base that is published for that platform: image.base"
    )
    assert pins(tmp_path) == ""


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


def test_base_image_from_files_only(tmp_path: Path) -> None:
    assert base_image.find_pinned(ImageSettings(), tmp_path) is None
    assert base_image.find_pinned(ImageSettings(base="own:1"), tmp_path) is None
    assert base_image.find_pinned(ImageSettings(base=NEW), tmp_path) == BaseImage(NEW, "")
    pin(tmp_path)
    assert base_image.find_pinned(ImageSettings(), tmp_path) == BaseImage(OLD, "")
    assert base_image.find_pinned(ImageSettings(system_packages=("jq",)), tmp_path) is None


def test_every_base_of_the_flows() -> None:
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
