"""Pull an image on the engine: report the progress, and classify failures by their reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import docker
import docker.auth
import docker.errors
import docker.utils
import requests
import urllib3.exceptions

# Seconds without any event of the engine after which a pull counts as stalled.
STALL_SECONDS = 60.0


class PullFailure(Enum):
    """The reason why an image cannot be pulled."""

    # The engine gets no answer: no network, no name server, a firewall or a proxy.
    UNREACHABLE = "unreachable"
    # The registry limits pulls (429).
    LIMITED = "limited"
    # The registry requires or rejects credentials (401, 403).
    DENIED = "denied"
    # The registry has no such repository, tag or digest (404).
    MISSING = "missing"
    # The image is not available for this platform.
    PLATFORM = "platform"
    # The registry itself fails (5xx).
    FAILING = "failing"
    # No more data arrives.
    STALLED = "stalled"
    # The connection broke while layers arrived.
    BROKEN = "broken"
    # The disk of the engine is full.
    DISK = "disk"
    # The reference is not valid.
    REFERENCE = "reference"
    OTHER = "other"


# The order matters: the text of an error often contains that of another.
# The texts are from dockerd (distribution/, Go's net/http), containerd
# (core/remotes/docker) and podman (containers/image).
FAILURE_PATTERNS = (
    (PullFailure.DISK, r"no space left on device|disk quota exceeded"),
    (PullFailure.LIMITED, r"toomanyrequests|too many requests|pull rate limit|\b429\b"),
    (
        PullFailure.PLATFORM,
        r"no matching manifest for|no match for platform|does not match the specified platform"
        r"|does not provide the specified platform|no image found in (image index|manifest list)"
        r"|no supported platform found",
    ),
    # Before 5xx and 403: a proxy on the way answers for the registry. Go prints the text of its
    # status alone for a CONNECT that fails.
    (
        PullFailure.UNREACHABLE,
        r"x509|failed to verify certificate|certificate (is not trusted|verify failed)"
        r"|proxyconnect|proxy authentication required|\b407\b"
        r'|": (forbidden|bad gateway|service unavailable|gateway time-?out)$',
    ),
    (PullFailure.FAILING, r"\b(500|502|503|504)\b|internal server error|service unavailable"),
    (
        PullFailure.DENIED,
        r"unauthorized|authentication required|no basic auth credentials|\b401\b"
        r"|incorrect username or password|(?<!permission )denied\b",
    ),
    # A registry gives a reason ("denied: …"), matched above; a firewall does not.
    (PullFailure.UNREACHABLE, r"\b403\b|forbidden"),
    (
        PullFailure.MISSING,
        r"(blob|manifest|name)[ _]unknown|not found|\b404\b"
        r"|repository does not exist",
    ),
    (PullFailure.REFERENCE, r"invalid reference format|invalid tag|must be lowercase"),
    (
        PullFailure.UNREACHABLE,
        r"no such host|server misbehaving|name resolution|dial tcp|dial udp|i/o timeout"
        r"|connection refused|network is unreachable|no route to host|connection reset"
        r"|handshake timeout|client\.timeout|request canceled|deadline exceeded|\beof\b"
        r"|connection timed out|broken pipe|tls: ",
    ),
)
# The answer of a name server contains "not found", too.
DNS_FAILURE = re.compile(r"no such host|server misbehaving|dial tcp", re.I)
RECEIVING_STATUSES = (
    "Downloading",
    "Verifying",
    "Download complete",
    "Extracting",
    "Pull complete",
)
RECEIVED_STATUSES = ("Already exists", "Pull complete", "Download complete")
FINISHED_STATUSES = ("Already exists", "Pull complete")


class PullError(Exception):
    """A failed pull, with its reason and the engine's message."""

    def __init__(self, reason: PullFailure, text: str) -> None:
        self.reason, self.text = reason, text
        super().__init__(text)


@dataclass
class PullProgress:
    """The progress of a pull, from the events of dockerd (either image store) or podman."""

    status: dict[str, str] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    # The digest that the registry returned for the reference.
    digest: str = ""
    # Whether the registry has answered at all.
    answered: bool = False

    def add_event(self, event: Mapping[str, Any]) -> None:
        """Update the progress with an event of the engine."""
        layer, status = str(event.get("id") or ""), str(event.get("status") or "")
        if status.startswith("Digest: "):
            self.digest = status.removeprefix("Digest: ").strip()
        self.answered = self.answered or bool(layer)
        if not layer or status.startswith("Pulling from"):
            return
        self.status[layer] = status
        detail = event.get("progressDetail") or {}
        # During extraction the numbers have another meaning, such as seconds.
        if status == "Downloading" and detail.get("total"):
            self.received[layer] = int(detail.get("current") or 0)
            self.size[layer] = int(detail["total"])
        elif layer in self.size and status.startswith(("Verifying", *RECEIVED_STATUSES)):
            self.received[layer] = self.size[layer]

    @property
    def has_begun(self) -> bool:
        """Whether a part of the image has arrived."""
        return any(status.startswith(RECEIVING_STATUSES) for status in self.status.values())

    def __str__(self) -> str:
        """Return the total progress for display; sizes are those of the transfer."""
        # podman's last status of a layer is that it was downloaded.
        final_statuses = (
            FINISHED_STATUSES
            if any(s in FINISHED_STATUSES for s in self.status.values())
            else RECEIVED_STATUSES
        )
        done = sum(status in final_statuses for status in self.status.values())
        layers = f"{done} of {len(self.status)} layers"
        if not self.size:
            return layers if self.status else ""
        received, size = sum(self.received.values()), sum(self.size.values())
        return f"{layers}, {received / 1e6:.1f} of {size / 1e6:.1f} MB"


def pull(
    client: docker.DockerClient,
    reference: str,
    platform: str,
    auth: Mapping[str, str],
    show: Callable[[str], None] = lambda _: None,
) -> str:
    """Pull `reference` for `platform`, and return the digest that the registry gave for it.

    The digest is empty if the engine does not report it. An empty `auth` is an anonymous pull.
    `show` receives the progress with each event. Raises `PullError`, also for an error within the
    stream, which docker-py's `images.pull` ignores.
    """
    progress = PullProgress()
    try:
        track_events(_stream_events(client, reference, platform, auth), progress, show)
    except docker.errors.APIError as error:
        text = _shorten_text(str(error.explanation or error))
        raise PullError(classify_failure(text, progress.has_begun), text) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        if not _is_timeout(error):
            raise
        raise _stalled_error(progress) from None
    return progress.digest


def track_events(
    events: Iterable[Mapping[str, Any]], progress: PullProgress, show: Callable[[str], None]
) -> None:
    """Add all `events` to `progress`. Raises `PullError` for the first error among them."""
    for event in events:
        problem = event.get("error") or (event.get("errorDetail") or {}).get("message")
        if problem:
            text = _shorten_text(str(problem))
            raise PullError(classify_failure(text, progress.has_begun), text)
        progress.add_event(event)
        show(str(progress))


def classify_failure(text: str, begun: bool = False) -> PullFailure:
    """Return the reason in the engine's message; `begun` is whether layers have arrived."""
    failure = PullFailure.UNREACHABLE if DNS_FAILURE.search(text) else PullFailure.OTHER
    if failure is PullFailure.OTHER:
        for reason, pattern in FAILURE_PATTERNS:
            if re.search(pattern, text, re.I):
                failure = reason
                break
    return PullFailure.BROKEN if begun and failure is PullFailure.UNREACHABLE else failure


def parse_registry(reference: str) -> str:
    """Return the registry of `reference`: docker.io if it names none."""
    repository, _ = docker.utils.parse_repository_tag(reference)
    return str(docker.auth.resolve_repository_name(repository)[0])


def _stream_events(
    client: docker.DockerClient, reference: str, platform: str, auth: Mapping[str, str]
) -> Iterator[Mapping[str, Any]]:
    """Yield the engine's events, like `client.api.pull`, but with a timeout."""
    repository, tag = docker.utils.parse_repository_tag(reference)
    api: Any = client.api
    headers = {"X-Registry-Auth": docker.auth.encode_header(dict(auth))} if auth else {}
    response = api._post(
        api._url("/images/create"),
        params={"fromImage": repository, "tag": tag or "latest", "platform": platform},
        headers=headers,
        stream=True,
        # For each read: the engine sends several events a second while a layer arrives.
        timeout=STALL_SECONDS,
    )
    try:
        api._raise_for_status(response)
        yield from api._stream_helper(response, decode=True)
    finally:
        # The engine cancels a pull when its client disconnects.
        response.close()


def _is_timeout(error: Exception) -> bool:
    if isinstance(error, (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
        return True
    # requests wraps the latter in its own exception while it reads a stream.
    return bool(error.args) and isinstance(error.args[0], urllib3.exceptions.ReadTimeoutError)


def _stalled_error(progress: PullProgress) -> PullError:
    text = f"no data has arrived for {STALL_SECONDS:g} s"
    return PullError(PullFailure.STALLED if progress.answered else PullFailure.UNREACHABLE, text)


def _shorten_text(text: str) -> str:
    return " ".join(text.split())[:400]
