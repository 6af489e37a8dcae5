"""Pull an image on the engine: every event counts, and each failure has its reason."""

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

# Seconds without any event of the engine, after which a pull has stalled.
STALL_SECONDS = 60.0


class Reason(Enum):
    """Why an image cannot be pulled."""

    # No network, no name server, a firewall, a proxy: no registry answers the engine.
    UNREACHABLE = "unreachable"
    # The registry limits pulls (429).
    LIMITED = "limited"
    # It wants other credentials, or refuses these (401, 403).
    DENIED = "denied"
    # It has no such repository, tag or digest (404).
    MISSING = "missing"
    # The image is not for this platform.
    PLATFORM = "platform"
    # The registry itself fails (5xx).
    FAILING = "failing"
    # Nothing arrives any more.
    STALLED = "stalled"
    # The connection broke while layers arrived.
    BROKEN = "broken"
    # The disk of the engine is full.
    DISK = "disk"
    # The reference is not valid.
    REFERENCE = "reference"
    OTHER = "other"


# In this order: an error's text often quotes another's words.
# The texts are those of dockerd (distribution/, Go's net/http), containerd
# (core/remotes/docker) and podman (containers/image).
PATTERNS = (
    (Reason.DISK, r"no space left on device|disk quota exceeded"),
    (Reason.LIMITED, r"toomanyrequests|too many requests|pull rate limit|\b429\b"),
    (
        Reason.PLATFORM,
        r"no matching manifest for|no match for platform|does not match the specified platform"
        r"|does not provide the specified platform|no image found in (image index|manifest list)"
        r"|no supported platform found",
    ),
    # Before 5xx and 403: a proxy on the way answers for the registry. Go prints the text of its
    # status alone for a CONNECT that fails.
    (
        Reason.UNREACHABLE,
        r"x509|failed to verify certificate|certificate (is not trusted|verify failed)"
        r"|proxyconnect|proxy authentication required|\b407\b"
        r'|": (forbidden|bad gateway|service unavailable|gateway time-?out)$',
    ),
    (Reason.FAILING, r"\b(500|502|503|504)\b|internal server error|service unavailable"),
    (
        Reason.DENIED,
        r"unauthorized|authentication required|no basic auth credentials|\b401\b"
        r"|incorrect username or password|(?<!permission )denied\b",
    ),
    # A registry names its reason ("denied: …"), as above; a firewall does not.
    (Reason.UNREACHABLE, r"\b403\b|forbidden"),
    (
        Reason.MISSING,
        r"(blob|manifest|name)[ _]unknown|not found|\b404\b"
        r"|repository does not exist",
    ),
    (Reason.REFERENCE, r"invalid reference format|invalid tag|must be lowercase"),
    (
        Reason.UNREACHABLE,
        r"no such host|server misbehaving|name resolution|dial tcp|dial udp|i/o timeout"
        r"|connection refused|network is unreachable|no route to host|connection reset"
        r"|handshake timeout|client\.timeout|request canceled|deadline exceeded|\beof\b"
        r"|connection timed out|broken pipe|tls: ",
    ),
)
# A name server's answer says "not found" too.
NO_NAME = re.compile(r"no such host|server misbehaving|dial tcp", re.I)
ARRIVING = ("Downloading", "Verifying", "Download complete", "Extracting", "Pull complete")
ARRIVED = ("Already exists", "Pull complete", "Download complete")
FINISHED = ("Already exists", "Pull complete")


class PullError(Exception):
    """An image that cannot be pulled: the reason, and the engine's own words."""

    def __init__(self, reason: Reason, text: str) -> None:
        self.reason, self.text = reason, text
        super().__init__(text)


@dataclass
class Progress:
    """How far a pull is, from the events of dockerd (either image store) or podman."""

    status: dict[str, str] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    # The digest that the registry gave for the reference.
    digest: str = ""
    # Whether the registry has answered at all.
    answered: bool = False

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in an event."""
        layer, status = str(event.get("id") or ""), str(event.get("status") or "")
        if status.startswith("Digest: "):
            self.digest = status.removeprefix("Digest: ").strip()
        self.answered = self.answered or bool(layer)
        if not layer or status.startswith("Pulling from"):
            return
        self.status[layer] = status
        detail = event.get("progressDetail") or {}
        # While it is extracted the numbers are of something else, in seconds even.
        if status == "Downloading" and detail.get("total"):
            self.received[layer] = int(detail.get("current") or 0)
            self.size[layer] = int(detail["total"])
        elif layer in self.size and status.startswith(("Verifying", *ARRIVED)):
            self.received[layer] = self.size[layer]

    @property
    def begun(self) -> bool:
        """Whether a part of the image has arrived."""
        return any(status.startswith(ARRIVING) for status in self.status.values())

    def __str__(self) -> str:
        """The whole in words, sizes as they are transferred."""
        # podman has no other last word on a layer than that it was downloaded.
        last = FINISHED if any(s in FINISHED for s in self.status.values()) else ARRIVED
        done = sum(status in last for status in self.status.values())
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
    """Pull `reference` for `platform` with these credentials; show the progress as it comes.

    Return the digest that the registry gave for it, empty where the engine does not name it. An
    empty `auth` is an anonymous pull.

    Raises:
        PullError: Also for an error within the stream, which docker-py's `images.pull` drops.
    """
    progress = Progress()
    try:
        follow(_events(client, reference, platform, auth), progress, show)
    except docker.errors.APIError as error:
        text = _words(str(error.explanation or error))
        raise PullError(reason_of(text, progress.begun), text) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        if not _timed_out(error):
            raise
        raise _stalled(progress) from None
    return progress.digest


def follow(
    events: Iterable[Mapping[str, Any]], progress: Progress, show: Callable[[str], None]
) -> None:
    """Take in `events` to their end. Raises `PullError` for the first error among them."""
    for event in events:
        problem = event.get("error") or (event.get("errorDetail") or {}).get("message")
        if problem:
            text = _words(str(problem))
            raise PullError(reason_of(text, progress.begun), text)
        progress.take(event)
        show(str(progress))


def reason_of(text: str, begun: bool = False) -> Reason:
    """Return the reason behind the engine's words; `begun` tells that layers had arrived."""
    found = Reason.UNREACHABLE if NO_NAME.search(text) else Reason.OTHER
    if found is Reason.OTHER:
        for reason, pattern in PATTERNS:
            if re.search(pattern, text, re.I):
                found = reason
                break
    return Reason.BROKEN if begun and found is Reason.UNREACHABLE else found


def registry_of(reference: str) -> str:
    """Return the registry that `reference` is in: docker.io where it names none."""
    repository, _ = docker.utils.parse_repository_tag(reference)
    return str(docker.auth.resolve_repository_name(repository)[0])


def _events(
    client: docker.DockerClient, reference: str, platform: str, auth: Mapping[str, str]
) -> Iterator[Mapping[str, Any]]:
    """Yield the engine's events; `client.api.pull` does the same without a limit of time."""
    repository, tag = docker.utils.parse_repository_tag(reference)
    api: Any = client.api
    headers = {"X-Registry-Auth": docker.auth.encode_header(dict(auth))} if auth else {}
    response = api._post(
        api._url("/images/create"),
        params={"fromImage": repository, "tag": tag or "latest", "platform": platform},
        headers=headers,
        stream=True,
        # Of each read: the engine says something several times a second while a layer arrives.
        timeout=STALL_SECONDS,
    )
    try:
        api._raise_for_status(response)
        yield from api._stream_helper(response, decode=True)
    finally:
        # The engine gives up a pull whose client leaves.
        response.close()


def _timed_out(error: Exception) -> bool:
    if isinstance(error, (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
        return True
    # What requests makes of the latter while it reads a stream.
    return bool(error.args) and isinstance(error.args[0], urllib3.exceptions.ReadTimeoutError)


def _stalled(progress: Progress) -> PullError:
    text = f"nothing has arrived for {STALL_SECONDS:g} s"
    return PullError(Reason.STALLED if progress.answered else Reason.UNREACHABLE, text)


def _words(text: str) -> str:
    return " ".join(text.split())[:400]
