"""The parts of publishing that need no registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy import artifact, cloud
from deploy.errors import DeployError
from deploy.model import Attachment, Image
from deploy.registry import login, oci, referrers
from deploy.registry.oci import Manifest
from deploy.registry.push import Layers
from deploy.schema import CloudModel, PlaceModel

DIGEST = "sha256:" + "a" * 64
IMAGE = Image(
    "r.azurecr.io/faq", "0" * 12, "sha256:1", "linux/amd64", "python@sha256:2", "c0", DIGEST
)


def test_what_is_handed_over_is_read_back(tmp_path: Path) -> None:
    path = artifact.write(tmp_path, "faq", IMAGE, "c1")
    found = artifact.read(path, "faq", "c1")
    assert path == tmp_path / ".artifacts" / "faq.json"
    assert found.pinned == f"r.azurecr.io/faq@{DIGEST}"
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
        ({"flow": "chat"}, "it is of the flow chat, not of faq"),
        ({"commit": "b" * 40}, "it is stale: of commit bbbbbbb, and c1 is checked out"),
        (
            {"commit": "c1-dirty"},
            "c1-dirty, and c1 is checked out\n  → commit what `git status` shows",
        ),
    ],
)
def test_a_file_that_somebody_made_by_hand_is_refused(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    path = artifact.write(tmp_path, "faq", IMAGE, "c1")
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}), encoding="utf-8")
    with pytest.raises(DeployError) as caught:
        artifact.read(path, "faq", "c1")
    assert reason in str(caught.value)


def test_a_file_that_is_not_there_or_no_json(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="it is not there"):
        artifact.read(tmp_path / "faq.json", "faq", "")
    (tmp_path / "faq.json").write_text("{", encoding="utf-8")
    with pytest.raises(DeployError, match="this is not JSON"):
        artifact.read(tmp_path / "faq.json", "faq", "")


def test_layers_are_counted_as_the_engine_tells_them() -> None:
    layers = Layers()
    events: list[dict[str, Any]] = [
        {"status": "Preparing", "id": "a"},
        {"status": "Layer already exists", "id": "a"},
        {"status": "Mounted from other", "id": "b"},
        {
            "status": "Pushing",
            "id": "c",
            "progressDetail": {"current": 500_000, "total": 2_000_000},
        },
        {
            "status": "Pushing",
            "id": "c",
            "progressDetail": {"current": 2_000_512, "total": 2_000_000},
        },
    ]
    assert [layers.take(event) for event in events] == [""] * 5
    assert str(layers) == "2 layers there, 2.0 MB of 2.0 MB read"
    assert layers.take({"status": "Pushed", "id": "c"}) == "c"
    layers.take({"progressDetail": {}, "aux": {"Tag": "1", "Digest": DIGEST, "Size": 1}})
    assert (layers.present, layers.pushed, layers.digest) == (["a", "b"], ["c"], DIGEST)


def test_who_logs_in_is_told_by_the_registrys_name_or_the_configuration() -> None:
    public, china = cloud.CLOUDS["public"], cloud.CLOUDS["china"]
    assert isinstance(login.choose("x.azurecr.io", None, public), login.AzureLogin)
    assert isinstance(login.choose("x.azurecr.cn", None, china), login.AzureLogin)
    assert isinstance(login.choose("x.azurecr.io.evil.example", None, public), login.DockerLogin)
    assert isinstance(login.choose("x.azurecr.cn", None, public), login.DockerLogin)
    assert isinstance(login.choose("x.azurecr.io", "docker", public), login.DockerLogin)
    assert isinstance(login.choose("registry.corp", "azure", public), login.AzureLogin)


def test_credentials_do_not_show_in_a_traceback() -> None:
    known = login.Credentials("user", "hunter2hunter2", "token-of-mine")
    assert "hunter2" not in repr(known)
    assert "token-of-mine" not in repr(known)


def test_a_cloud_of_ones_own_is_described() -> None:
    model = CloudModel(resource_manager="https://management.local.example", polling=0.5)
    found = cloud.chosen(model)
    assert found.scope == "https://management.local.example/.default"
    assert (found.registry_suffix, found.polling) == (".azurecr.io", 0.5)


@pytest.mark.parametrize(
    "name", ["https://x.azurecr.io", "x.azurecr.io/Flows", "x.azurecr.io/", "x.azurecr.io:tag", ""]
)
def test_an_address_that_is_no_registrys_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="registry"):
        PlaceModel(registry=name)


@pytest.mark.parametrize("name", ["x.azurecr.io", "127.0.0.1:5000/team/flows", "localhost:5000"])
def test_an_address_may_have_a_port_and_folders(name: str) -> None:
    assert PlaceModel(registry=name).registry == name


def test_the_tag_that_takes_the_place_of_the_referrers_api() -> None:
    assert oci.fallback_tag(DIGEST) == "sha256-" + "a" * 64


def test_the_same_document_about_the_same_image_is_the_same_manifest() -> None:
    subject = Manifest(DIGEST, oci.DOCKER_MANIFEST, b"{}")
    document = Attachment("sbom.cdx.json", "application/vnd.cyclonedx+json", b"{}")
    made = referrers.manifest_of(subject, document)
    assert made == referrers.manifest_of(subject, document)
    assert made.data["subject"] == subject.descriptor
    assert made.data["artifactType"] == document.type
