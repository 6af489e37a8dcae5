"""The engine's events while it pulls: progress, errors within the stream, and their reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.docker.pull import (
    PullError,
    PullFailure,
    PullProgress,
    classify_failure,
    track_events,
)

DIGEST = "sha256:" + "a" * 64

RECORDINGS = Path(__file__).parents[2] / "recordings/engines"


def shown(events: list[dict[str, Any]]) -> list[str]:
    """Return what is shown for each event."""
    lines: list[str] = []
    track_events(events, PullProgress(), lines.append)
    return lines


def downloading(layer: str, current: int, total: int) -> dict[str, Any]:
    detail = {"current": current, "total": total}
    return {"status": "Downloading", "progressDetail": detail, "progress": "[=> ]", "id": layer}


def test_progress_of_dockerd() -> None:
    events: list[dict[str, Any]] = [
        {"status": "Pulling from library/python", "id": "3.11-slim-bookworm"},
        {"status": "Already exists", "progressDetail": {}, "id": "a"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "b"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "c"},
        downloading("b", 1_000_000, 10_000_000),
        downloading("c", 500_000, 2_000_000),
        {"status": "Verifying Checksum", "progressDetail": {}, "id": "c"},
        {"status": "Download complete", "progressDetail": {}, "id": "c"},
        {"status": "Extracting", "progressDetail": {"current": 1, "total": 9}, "id": "b"},
        {"status": "Pull complete", "progressDetail": {}, "id": "b"},
        {"status": f"Digest: {DIGEST}"},
        {"status": "Status: Downloaded newer image for python:3.11-slim-bookworm"},
    ]
    progress = PullProgress()
    lines: list[str] = []
    track_events(events, progress, lines.append)
    assert lines == [
        "",
        "1 of 1 layers",
        "1 of 2 layers",
        "1 of 3 layers",
        "1 of 3 layers, 1.0 of 10.0 MB",
        "1 of 3 layers, 1.5 of 12.0 MB",
        "1 of 3 layers, 3.0 of 12.0 MB",
        "1 of 3 layers, 3.0 of 12.0 MB",
        "1 of 3 layers, 3.0 of 12.0 MB",
        "2 of 3 layers, 12.0 of 12.0 MB",
        "2 of 3 layers, 12.0 of 12.0 MB",
        "2 of 3 layers, 12.0 of 12.0 MB",
    ]
    assert progress.digest == DIGEST


def test_progress_of_the_containerd_store_counts_seconds_of_extraction_as_no_bytes() -> None:
    assert shown(
        [
            {"status": "Pulling from library/python", "id": "3.11-slim-bookworm"},
            downloading("a", 2_000_000, 4_000_000),
            {"status": "Download complete", "progressDetail": {"hidecounts": True}, "id": "a"},
            {"status": "Extracting", "progressDetail": {"current": 7, "units": "s"}, "id": "a"},
            {"status": "Pull complete", "progressDetail": {"hidecounts": True}, "id": "a"},
        ]
    ) == [
        "",
        "0 of 1 layers, 2.0 of 4.0 MB",
        "1 of 1 layers, 4.0 of 4.0 MB",
        "0 of 1 layers, 4.0 of 4.0 MB",
        "1 of 1 layers, 4.0 of 4.0 MB",
    ]


def test_progress_of_podman() -> None:
    assert shown(
        [
            {"status": "Pulling fs layer", "progressDetail": {}, "id": "a"},
            downloading("a", 1_000_000, 4_000_000),
            {"status": "Download complete", "progressDetail": {}, "id": "a"},
        ]
    ) == ["0 of 1 layers", "0 of 1 layers, 1.0 of 4.0 MB", "1 of 1 layers, 4.0 of 4.0 MB"]


@pytest.mark.parametrize(
    "error",
    [
        {"errorDetail": {"message": "manifest unknown"}, "error": "manifest unknown"},
        {"error": "manifest unknown"},
        {"errorDetail": {"message": "manifest unknown"}},
        {"status": "", "progressDetail": {}, "error": "manifest unknown", "id": ""},
    ],
)
def test_an_error_within_the_stream_counts(error: dict[str, Any]) -> None:
    read = []

    def events() -> Iterator[dict[str, Any]]:
        yield {"status": "Pulling from library/python", "id": "3.11"}
        yield error
        read.append("past the error")

    with pytest.raises(PullError) as caught:
        track_events(events(), PullProgress(), lambda _: None)
    assert (caught.value.reason, caught.value.text) == (PullFailure.MISSING, "manifest unknown")
    assert read == []


def test_a_connection_that_breaks_while_layers_arrive() -> None:
    events = [
        downloading("a", 1, 2),
        {"error": "read tcp 10.0.0.1:5->1.1.1.1:443: read: connection reset by peer"},
    ]
    with pytest.raises(PullError) as caught:
        track_events(events, PullProgress(), lambda _: None)
    assert caught.value.reason is PullFailure.BROKEN


HUB = "https://registry-1.docker.io/v2/"


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        # No network.
        ("UNREACHABLE", f'Get "{HUB}": dial tcp: lookup registry-1.docker.io: no such host'),
        ("UNREACHABLE", f'Get "{HUB}": dial tcp: lookup x on 10.0.0.1:53: server misbehaving'),
        ("UNREACHABLE", f'Get "{HUB}": dial tcp 127.0.0.1:1: connect: connection refused'),
        ("UNREACHABLE", f'Get "{HUB}": dial tcp 1.1.1.1:443: connect: network is unreachable'),
        ("UNREACHABLE", f'Get "{HUB}": dial tcp 1.1.1.1:443: i/o timeout'),
        (
            "UNREACHABLE",
            f'Get "{HUB}": net/http: request canceled while waiting for connection '
            "(Client.Timeout exceeded while awaiting headers)",
        ),
        ("UNREACHABLE", f'Get "{HUB}": context deadline exceeded'),
        ("UNREACHABLE", f'Get "{HUB}": net/http: TLS handshake timeout'),
        ("UNREACHABLE", f'Get "{HUB}": EOF'),
        (
            "UNREACHABLE",
            'failed to resolve reference "docker.io/library/python:3.11": failed to do request: '
            'Head "https://registry-1.docker.io/v2/library/python/manifests/3.11": dial tcp: '
            "lookup registry-1.docker.io: no such host",
        ),
        (
            "UNREACHABLE",
            "initializing source docker://python:3.11: pinging container registry "
            'registry-1.docker.io: Get "https://registry-1.docker.io/v2/": dial tcp: lookup '
            "registry-1.docker.io: Temporary failure in name resolution",
        ),
        # A closed network.
        ("UNREACHABLE", f'Get "{HUB}": x509: certificate signed by unknown authority'),
        (
            "UNREACHABLE",
            f'Get "{HUB}": tls: failed to verify certificate: x509: certificate signed by unknown '
            "authority",
        ),
        ("UNREACHABLE", f'Get "{HUB}": proxyconnect tcp: dial tcp 10.0.0.9:3128: i/o timeout'),
        ("UNREACHABLE", f'Get "{HUB}": Proxy Authentication Required'),
        ("UNREACHABLE", f'Get "{HUB}": Forbidden'),
        ("UNREACHABLE", f'Get "{HUB}": Service Unavailable'),
        ("UNREACHABLE", f'Get "{HUB}": Bad Gateway'),
        ("UNREACHABLE", f"unexpected status from HEAD request to {HUB}x: 403 Forbidden"),
        (
            "UNREACHABLE",
            "error parsing HTTP 403 response body: invalid character '<' looking for beginning of "
            'value: "<html>blocked</html>"',
        ),
        # Limits.
        (
            "LIMITED",
            "toomanyrequests: You have reached your pull rate limit. You may increase the limit "
            "by authenticating and upgrading: https://www.docker.com/increase-rate-limit",
        ),
        ("LIMITED", "error from registry: You have reached your unauthenticated pull rate limit."),
        (
            "LIMITED",
            "httpReadSeeker: failed open: unexpected status code "
            f"{HUB}library/python/manifests/sha256:1: 429 Too Many Requests",
        ),
        # Credentials.
        ("DENIED", f'Head "{HUB}library/x/manifests/1": unauthorized: authentication required'),
        ("DENIED", f'Get "{HUB}": no basic auth credentials'),
        (
            "DENIED",
            "pull access denied for corp/x, repository does not exist or may require 'docker "
            "login': denied: requested access to the resource is denied",
        ),
        ("DENIED", "error from registry: denied"),
        (
            "DENIED",
            "failed to authorize: failed to fetch oauth token: unexpected status from GET request "
            "to https://auth.docker.io/token: 401 Unauthorized",
        ),
        # No such image.
        ("MISSING", "manifest for python:9 not found: manifest unknown: manifest unknown"),
        (
            "MISSING",
            'failed to resolve reference "localhost:5000/x:1": localhost:5000/x:1: not found',
        ),
        ("MISSING", "name unknown: repository name not known to registry"),
        ("MISSING", "reading manifest 9 in docker.io/library/python: manifest unknown"),
        # Platforms.
        ("PLATFORM", "no matching manifest for linux/arm64 in the manifest list entries"),
        ("PLATFORM", "no match for platform in manifest: not found"),
        (
            "PLATFORM",
            "image with reference x was found but does not match the specified platform: wanted "
            "linux/arm64, actual: linux/amd64",
        ),
        (
            "PLATFORM",
            'choosing image instance: no image found in image index for architecture "arm64", '
            'variant "v8", OS "linux"',
        ),
        # The registry's own trouble.
        ("FAILING", "received unexpected HTTP status: 503 Service Unavailable"),
        ("FAILING", f"unexpected status from HEAD request to {HUB}x: 500 Internal Server Error"),
        ("DISK", "failed to register layer: write /usr/lib/x: no space left on device"),
        ("REFERENCE", "invalid reference format"),
        ("OTHER", f'Get "{HUB}": http: server gave HTTP response to HTTPS client'),
        ("OTHER", "open /var/lib/docker/x: permission denied"),
    ],
)
def test_reasons(reason: str, text: str) -> None:
    assert classify_failure(text).name == reason


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("classic-pull-no-manifest", "MISSING"),
        ("classic-pull-repeat", ""),
        ("containerd-pull", "4 of 4 layers, 48.9 of 48.9 MB"),
        ("containerd-pull-401", "DENIED"),
        ("containerd-pull-404", "MISSING"),
        ("containerd-pull-429", "LIMITED"),
        ("containerd-pull-no-manifest", "MISSING"),
        ("podman-pull", "5 of 5 layers, 48.9 of 48.9 MB"),
        ("podman-pull-401", "DENIED"),
        ("podman-pull-404", "MISSING"),
        ("podman-pull-429", "LIMITED"),
        ("podman-pull-no-manifest", "MISSING"),
    ],
)
def test_recorded_responses_of_engines(name: str, expected: str) -> None:
    """Each ends with this progress, or with an error for this reason."""
    lines = (RECORDINGS / f"{name}.json").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    shown = [""]
    try:
        if "explanation" in events[0]:
            text = events[0]["explanation"]
            raise PullError(classify_failure(text), text)
        track_events(events, PullProgress(), shown.append)
    except PullError as error:
        shown.append(error.reason.name)
    assert shown[-1] == expected
