"""Pushes by the engine: progress, errors in the stream, and attempts."""

from __future__ import annotations

from typing import Any, cast

import docker.errors
import pytest

from deploy.core import http_requests
from deploy.core.errors import DeployError
from deploy.registry import login, push
from deploy.registry.oci import Registry
from deploy.registry.push import PushProgress

DIGEST = "sha256:" + "a" * 64
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
def test_push_progress_is_read_from_each_engine(name: str) -> None:
    layers = PushProgress()
    completed = [layers.record(event) for event in STREAMS[name]]
    assert [layer for layer in completed if layer] == ["c"]
    assert (layers.present, layers.pushed) == (["a", "b"], ["c"])
    assert str(layers) == "3 layers done, 2.0 MB of 2.0 MB sent"
    assert not any(push.read_error(event) for event in STREAMS[name])


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
def test_a_rejected_push_names_the_missing_role_or_is_retried(text: str) -> None:
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
    assert str(error) == f"the push was interrupted ({text[:160]})"
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
def test_a_registry_without_tls_is_a_readable_error_for_each_engine(text: str) -> None:
    assert str(push.create_error(Asked(allowed=True), REPOSITORY, text)) == (
        "registry r.azurecr.io: it uses plain HTTP, but the engine requires TLS\n"
        '  → allow the engine to use HTTP: "insecure-registries": ["r.azurecr.io"] in Docker\'s '
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
def test_an_untrusted_certificate_is_a_readable_error_for_each_engine(text: str) -> None:
    message = str(push.create_error(Asked(allowed=True), REPOSITORY, text))
    assert message == (
        f"registry r.azurecr.io: the engine does not trust its certificate: {text}\n"
        "  → add its certificate authority: /etc/docker/certs.d/r.azurecr.io/ca.crt, "
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
def test_a_missing_image_is_not_retried(text: str) -> None:
    message = str(push.create_error(Asked(allowed=True), REPOSITORY, text))
    assert (
        message
        == f"registry r.azurecr.io: the engine no longer has the image: {text}\n  → build it again: `inv build`"
    )


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
    push.push(client, "sha256:1", registry, REPOSITORY, TAG)
    assert client._answers == []
    lost = docker.errors.APIError("404", explanation="failed to find image: image not known")
    with pytest.raises(DeployError, match="the engine no longer has the image"):
        push.push(cast(Any, Pushing(lost)), "sha256:1", registry, REPOSITORY, TAG)
