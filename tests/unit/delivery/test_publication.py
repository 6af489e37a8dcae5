"""Image files between CI jobs, and images that are in the registry already."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deploy.config.schema import PlaceModel
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.delivery import image_reference
from deploy.delivery.publication import Publication
from deploy.docker import image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.registry import push
from deploy.supply_chain.image_verification import records
from deploy.supply_chain.secret_scan import scanner

DIGEST = "sha256:" + "a" * 64
REPOSITORY = "r.azurecr.io/faq"

IMAGE = Image(
    "r.azurecr.io/faq", "0" * 12, "sha256:1", "linux/amd64", "python@sha256:2", "c0", DIGEST
)


def test_an_image_file_is_read_back(tmp_path: Path) -> None:
    path = image_reference.write(tmp_path, "faq", IMAGE, "c1")
    found = image_reference.read(path, "faq", "c1")
    assert path == tmp_path / ".artifacts" / "faq.json"
    assert (found.repository, found.digest) == ("r.azurecr.io/faq", DIGEST)
    assert (found.tag, found.platform, found.base) == ("0" * 12, "linux/amd64", "python@sha256:2")
    assert found.commit == "c1"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"digest": "latest"}, "digest: string should match pattern"),
        ({"repository": "faq"}, "repository: string should match pattern"),
        ({"version": 2}, "version: input should be less than or equal to 1"),
        ({"approved": True}, "approved: extra inputs are not permitted"),
        ({"tag": None}, "tag: input should be a valid string"),
        ({"flow": "chat"}, "the file is for the flow chat, not for faq"),
        (
            {"commit": "b" * 40},
            "the file is outdated: it is for commit bbbbbbb, but c1 is checked out",
        ),
        (
            {"commit": "c1-dirty"},
            "c1-dirty, but c1 is checked out\n  → the push had uncommitted files: commit what `git status` lists",
        ),
    ],
)
def test_a_handwritten_file_is_rejected(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    path = image_reference.write(tmp_path, "faq", IMAGE, "c1")
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}), encoding="utf-8")
    with pytest.raises(DeployError) as caught:
        image_reference.read(path, "faq", "c1")
    assert reason in str(caught.value)


def test_a_file_that_is_not_there_or_no_json(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="the file does not exist"):
        image_reference.read(tmp_path / "faq.json", "faq", "")
    (tmp_path / "faq.json").write_text("{", encoding="utf-8")
    with pytest.raises(DeployError, match="the file is not valid JSON"):
        image_reference.read(tmp_path / "faq.json", "faq", "")


@pytest.mark.parametrize(("config_digest", "ours"), [("sha256:1", True), ("sha256:2", False)])
def test_an_image_in_the_registry_is_managed_if_its_configuration_matches(
    config_digest: str, ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ImageArchive(tmp_path / "image.tar", {}, config_digest, (), "config.json", True)
    steps: list[str] = []

    @contextlib.contextmanager
    def saved(*_: object) -> Iterator[ImageArchive]:
        yield files

    def step(name: str) -> Any:
        return lambda *_: steps.append(name)

    monkeypatch.setattr(image_archive, "save_image", saved)
    monkeypatch.setattr(scanner, "refuse_secrets", step("scan"))
    monkeypatch.setattr(push, "push", step("push"))
    monkeypatch.setattr(Publication, "_push_attachments", step("attach"))
    monkeypatch.setattr(Publication, "verify_image", step("verify"))
    monkeypatch.setattr(Publication, "attach_missing", step("complete"))
    monkeypatch.setattr(records, "add", step("record"))
    remote = SimpleNamespace(name=REPOSITORY, registry=None, find=lambda *_: IMAGE)
    # The engine's id is the digest of a manifest, say.
    built = replace(IMAGE, id=f"sha256:{'c' * 64}", digest=None)
    empty: Any = None
    flow: Any = SimpleNamespace(name="faq")
    found = Publication(cast(Any, remote), flow, {}, tmp_path).push_image(empty, built)
    assert found == IMAGE
    after = ["record", "attach"] if ours else ["verify", "complete"]
    assert steps == ["scan", "push", *after]


@pytest.mark.parametrize(
    "name", ["https://x.azurecr.io", "x.azurecr.io/Flows", "x.azurecr.io/", "x.azurecr.io:tag", ""]
)
def test_an_address_that_is_no_registrys_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="registry"):
        PlaceModel(registry=name)


@pytest.mark.parametrize("name", ["x.azurecr.io", "127.0.0.1:5000/team/flows", "localhost:5000"])
def test_an_address_may_have_a_port_and_folders(name: str) -> None:
    assert PlaceModel(registry=name).registry == name
