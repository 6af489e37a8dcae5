"""The parts of publishing that need no registry."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker.errors
import pytest

from deploy.azure import clouds
from deploy.config.schema import CloudModel, PlaceModel
from deploy.core import http_requests
from deploy.core.entities import Attachment, Image
from deploy.core.errors import DeployError
from deploy.delivery import image_reference, publication
from deploy.docker import image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.registry import login, oci, push, referrers
from deploy.registry.oci import Manifest, Registry
from deploy.registry.push import PushProgress
from deploy.supply_chain.image_verification import records
from deploy.supply_chain.secret_scan import scanner

DIGEST = "sha256:" + "a" * 64
IMAGE = Image(
    "r.azurecr.io/faq", "0" * 12, "sha256:1", "linux/amd64", "python@sha256:2", "c0", DIGEST
)


def test_what_is_handed_over_is_read_back(tmp_path: Path) -> None:
    path = image_reference.write(tmp_path, "faq", IMAGE, "c1")
    found = image_reference.read(path, "faq", "c1")
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
    path = image_reference.write(tmp_path, "faq", IMAGE, "c1")
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}), encoding="utf-8")
    with pytest.raises(DeployError) as caught:
        image_reference.read(path, "faq", "c1")
    assert reason in str(caught.value)


def test_a_file_that_is_not_there_or_no_json(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="it is not there"):
        image_reference.read(tmp_path / "faq.json", "faq", "")
    (tmp_path / "faq.json").write_text("{", encoding="utf-8")
    with pytest.raises(DeployError, match="this is not JSON"):
        image_reference.read(tmp_path / "faq.json", "faq", "")


REPOSITORY = "r.azurecr.io/faq"
TAG = "0" * 12
SENDING: dict[str, Any] = {
    "status": "Pushing",
    "id": "c",
    "progressDetail": {"current": 500_000, "total": 2_000_000},
    "progress": "[==>  ]  500kB/2MB",
}
STREAMS: dict[str, list[dict[str, Any]]] = {
    "Docker": [
        {"status": f"The push refers to repository [{REPOSITORY}]"},
        *({"status": "Preparing", "progressDetail": {}, "id": layer} for layer in "abc"),
        {"status": "Waiting", "progressDetail": {}, "id": "c"},
        {"status": "Layer already exists", "progressDetail": {}, "id": "a"},
        {"status": "Mounted from flows/chat", "progressDetail": {}, "id": "b"},
        SENDING,
        {**SENDING, "progressDetail": {"current": 2_000_512, "total": 2_000_000}},
        {"status": "Pushed", "progressDetail": {}, "id": "c"},
        {"status": f"{TAG}: digest: {DIGEST} size: 1783"},
        {"progressDetail": {}, "aux": {"Tag": TAG, "Digest": DIGEST, "Size": 1783}},
    ],
    # moby, daemon/containerd/image_push.go: a digest only in the status, layers that repeat theirs.
    "containerd": [
        {"status": f"The push refers to repository [{REPOSITORY}]"},
        *({"status": "Waiting", "progressDetail": {}, "id": layer} for layer in "abc"),
        {"status": "Layer already exists", "progressDetail": {}, "id": "a"},
        {"status": "Already exists", "progressDetail": {}, "id": "b"},
        SENDING,
        {**SENDING, "progressDetail": {"current": 2_000_512, "total": 2_000_512}},
        {"status": "Pushed", "progressDetail": {}, "id": "c"},
        {"status": "Pushed", "progressDetail": {}, "id": "c"},
        {
            "progressDetail": {},
            "aux": {"manifestPushedInsteadOfIndex": True, "selectedManifest": {"digest": DIGEST}},
        },
        {"status": f"{TAG}: digest: {DIGEST} size: 1783"},
    ],
    # podman, pkg/api/handlers/compat/images_push.go: no total where it compresses.
    "podman": [
        {"status": f"The push refers to repository [{REPOSITORY}:{TAG}]"},
        *({"status": "Preparing", "id": layer} for layer in "abc"),
        {"status": "Layer already exists", "id": "a"},
        {"status": "Layer already exists", "id": "b"},
        {"status": "Pushing", "id": "c", "progressDetail": {"current": 2_000_512, "total": -1}},
        {"status": "Pushed", "id": "c"},
        {"status": f"{TAG}: digest: {DIGEST} size: 1783"},
    ],
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_push_is_followed_in_the_words_of_each_engine(name: str) -> None:
    layers = PushProgress()
    completed = [layers.record(event) for event in STREAMS[name]]
    assert [layer for layer in completed if layer] == ["c"]
    assert (layers.present, layers.pushed, layers.digest) == (["a", "b"], ["c"], DIGEST)
    assert str(layers) == "3 layers there, 2.0 MB of 2.0 MB read"
    assert not any(push.read_error(event) for event in STREAMS[name])


def test_a_push_without_a_digest_has_none() -> None:
    layers = PushProgress()
    for event in (*STREAMS["podman"][:-1], {"status": f"{TAG}: digest:  size: 1783"}):
        layers.record(event)
    assert layers.digest == ""


@pytest.mark.parametrize(
    "event",
    [
        {"errorDetail": {"message": "denied"}, "error": "denied"},
        {"errorDetail": {"message": "denied"}},
        {"error": "denied", "errorDetail": None},
    ],
)
def test_an_error_is_found_in_each_form(event: dict[str, Any]) -> None:
    assert push.read_error(event) == "denied"


class Asked(Registry):
    """A registry that knows whether the identity may push, and counts how often that was asked."""

    def __init__(self, allowed: bool) -> None:
        super().__init__("r.azurecr.io", login.DockerLogin("r.azurecr.io"))
        self.allowed = allowed
        self.asked: list[str] = []

    def check_push_access(self, repository: str) -> None:
        self.asked.append(repository)
        if not self.allowed:
            raise DeployError(self.where, "the role AcrPush is missing")


URL = "https://r.azurecr.io/v2/faq"


@pytest.mark.parametrize(
    "text",
    [
        "denied: requested access to the resource is denied",
        "unauthorized: authentication required, visit https://aka.ms/acr/authorization for more",
        "push access denied, repository does not exist or may require authorization: server "
        "message: insufficient_scope: authorization failed",
        f"unexpected status from PUT request to {URL}/manifests/1: 403 Forbidden",
        f"failed to authorize: failed to fetch oauth token: unexpected status from GET request to {URL}",
        "writing blob: initiating layer upload to /v2/faq/blobs/uploads/ in r.azurecr.io: "
        "authentication required",
        f"trying to reuse blob {DIGEST} at destination: checking whether a blob {DIGEST} exists in "
        "r.azurecr.io/faq: authentication required",
    ],
)
def test_a_refused_push_names_the_missing_right_or_is_tried_again(text: str) -> None:
    registry = Asked(allowed=False)
    with pytest.raises(DeployError, match="the role AcrPush is missing"):
        push.create_error(registry, REPOSITORY, text)
    allowed = Asked(allowed=True)
    # Its token had expired.
    assert isinstance(push.create_error(allowed, REPOSITORY, text), http_requests.TransientError)
    assert registry.asked == allowed.asked == ["faq"]


@pytest.mark.parametrize(
    "text",
    [
        "received unexpected HTTP status: 503 Service Unavailable",
        f"unexpected status from PUT request to {URL}/blobs/uploads/1: 500 Internal Server Error",
        f'failed to do request: Put "{URL}/blobs/uploads/1": write tcp: connection reset by peer',
        f'writing blob: Patch "{URL}/blobs/uploads/1": EOF',
        f'Patch "{URL}/blobs/uploads/1": net/http: request canceled (Client.Timeout exceeded)',
    ],
)
def test_a_push_that_breaks_off_is_tried_again(text: str) -> None:
    registry = Asked(allowed=True)
    error = push.create_error(registry, REPOSITORY, text)
    assert isinstance(error, http_requests.TransientError)
    assert str(error) == f"the push broke off ({text[:160]})"
    assert registry.asked == []


@pytest.mark.parametrize(
    "text",
    [
        f'Get "{URL}": http: server gave HTTP response to HTTPS client',
        f'failed to do request: Head "{URL}": http: server gave HTTP response to HTTPS client',
        "trying to reuse blob at destination: pinging container registry r.azurecr.io: Get "
        f'"{URL}": http: server gave HTTP response to HTTPS client',
    ],
)
def test_a_registry_without_tls_is_a_sentence_for_each_engine(text: str) -> None:
    assert str(push.create_error(Asked(allowed=True), REPOSITORY, text)) == (
        "registry r.azurecr.io: it speaks plain HTTP, and the engine expects TLS\n"
        '  → let the engine use it without TLS: "insecure-registries": ["r.azurecr.io"] in Docker\'s '
        "daemon.json, or for podman in registries.conf [[registry]] with "
        'location = "r.azurecr.io" and insecure = true'
    )


@pytest.mark.parametrize(
    "text",
    [
        f'Get "{URL}": x509: certificate signed by unknown authority',
        f'failed to do request: Head "{URL}": tls: failed to verify certificate: x509: certificate '
        "is not valid for any names",
    ],
)
def test_an_untrusted_certificate_is_a_sentence_for_each_engine(text: str) -> None:
    message = str(push.create_error(Asked(allowed=True), REPOSITORY, text))
    assert message == (
        f"registry r.azurecr.io: the engine does not trust its certificate: {text}\n"
        "  → let the engine trust it: /etc/docker/certs.d/r.azurecr.io/ca.crt, "
        "or for podman /etc/containers/certs.d/r.azurecr.io/ca.crt"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"An image does not exist locally with the tag: {REPOSITORY}",
        f"tag does not exist: {REPOSITORY}:{TAG}",
        f"failed to find image {REPOSITORY}:{TAG}: {REPOSITORY}:{TAG}: image not known",
    ],
)
def test_an_image_that_the_engine_has_not_is_not_tried_again(text: str) -> None:
    message = str(push.create_error(Asked(allowed=True), REPOSITORY, text))
    assert message == f"registry r.azurecr.io: the engine lost the image: {text}\n  → `inv build`"


class Pushing:
    """A Docker engine whose pushes answer with prepared events, or fail before the first one."""

    def __init__(self, *answers: list[dict[str, Any]] | Exception) -> None:
        self.images = self
        self._answers = list(answers)

    def get(self, image: str) -> Pushing:
        return self

    def tag(self, repository: str, tag: str) -> bool:
        return True

    def push(self, repository: str, tag: str, **_: Any) -> list[dict[str, Any]]:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_push_is_tried_again_after_an_error_in_the_stream_or_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_requests, "BACK_OFF", 0.0)
    registry = Asked(allowed=True)
    monkeypatch.setattr(
        registry.login, "credentials", lambda: login.Credentials("user", "password", "")
    )
    broken = [*STREAMS["podman"][:3], {"errorDetail": {"message": "EOF"}}]
    refused = docker.errors.APIError("500", explanation="received unexpected HTTP status: 503")
    client: Any = Pushing(broken, refused, STREAMS["podman"])
    assert push.push(client, "sha256:1", registry, REPOSITORY, TAG) == DIGEST
    lost = docker.errors.APIError("404", explanation="failed to find image: image not known")
    with pytest.raises(DeployError, match="the engine lost the image"):
        push.push(cast(Any, Pushing(lost)), "sha256:1", registry, REPOSITORY, TAG)


@pytest.mark.parametrize(("config_digest", "ours"), [("sha256:1", True), ("sha256:2", False)])
def test_what_the_registry_has_counts_and_is_ours_by_its_configuration(
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
    monkeypatch.setattr(publication, "_create_attachments", lambda *_: ())
    monkeypatch.setattr(publication, "_push_attachments", step("attach"))
    monkeypatch.setattr(publication, "verify_image", step("verify"))
    monkeypatch.setattr(publication, "attach_missing", step("complete"))
    monkeypatch.setattr(records, "add", step("record"))
    remote = SimpleNamespace(name=REPOSITORY, registry=None, find=lambda *_: IMAGE)
    # The engine's id is the digest of a manifest, say.
    built = replace(IMAGE, id=f"sha256:{'c' * 64}", digest=None)
    empty: Any = None
    flow: Any = SimpleNamespace(name="faq")
    found = publication.push_image(empty, cast(Any, remote), flow, built, {}, tmp_path)
    assert found == IMAGE
    after = ["record", "attach"] if ours else ["verify", "complete"]
    assert steps == ["scan", "push", *after]


def test_who_logs_in_is_told_by_the_registrys_name_or_the_configuration() -> None:
    public, china = clouds.CLOUDS["public"], clouds.CLOUDS["china"]
    assert isinstance(login.choose_login("x.azurecr.io", None, public), login.AzureLogin)
    assert isinstance(login.choose_login("x.azurecr.cn", None, china), login.AzureLogin)
    assert isinstance(
        login.choose_login("x.azurecr.io.evil.example", None, public), login.DockerLogin
    )
    assert isinstance(login.choose_login("x.azurecr.cn", None, public), login.DockerLogin)
    assert isinstance(login.choose_login("x.azurecr.io", "docker", public), login.DockerLogin)
    assert isinstance(login.choose_login("registry.corp", "azure", public), login.AzureLogin)


def test_credentials_do_not_show_in_a_traceback() -> None:
    known = login.Credentials("user", "hunter2hunter2", "token-of-mine")
    assert "hunter2" not in repr(known)
    assert "token-of-mine" not in repr(known)


def test_a_cloud_of_ones_own_is_described() -> None:
    model = CloudModel(resource_manager="https://management.local.example", polling=0.5)
    found = clouds.resolve_cloud(model)
    assert found.scope == "https://management.local.example/.default"
    assert (found.registry_suffix, found.polling_interval) == (".azurecr.io", 0.5)


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
    assert oci.get_fallback_tag(DIGEST) == "sha256-" + "a" * 64


def test_the_same_document_about_the_same_image_is_the_same_manifest() -> None:
    subject = Manifest(DIGEST, oci.DOCKER_MANIFEST_TYPE, b"{}")
    document = Attachment("sbom.cdx.json", "application/vnd.cyclonedx+json", b"{}")
    made = referrers.create_manifest(subject, document)
    assert made == referrers.create_manifest(subject, document)
    assert made.data["subject"] == subject.descriptor
    assert made.data["artifactType"] == document.type
