"""The lock of base images: pins, refresh, and lines that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.build import base_image, base_lock, base_pull
from deploy.build.base_image import BaseImage
from deploy.core.entities import ImageSettings
from deploy.core.errors import DeployError
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
        "FLOW_BASE_IMAGE to a copy in a registry that it reaches; base.lock pins it, so no other "
        "base replaces it"
    )
    assert engine.pulled == [OLD]


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


def test_refresh_removes_a_built_base_after_its_replacement(engine: Engine, tmp_path: Path) -> None:
    older = "flow-base:python3.11-bookworm-amd64-111111111111"
    engine.made = [image("older", (older, MADE, "own:1"))]
    assert base_image.refresh(engine.client, ImageSettings(), tmp_path).reference == MADE
    assert engine.removed == [older]


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
