"""Fetch images only from the hosts that deploy.yaml allows.

The server fetches a URL of the client from inside its own network. Clients must not be able to read
resources that only the server can reach (OWASP, "Server-Side Request Forgery Prevention Cheat
Sheet").
"""

from __future__ import annotations

import functools
import http.client
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

log = logging.getLogger("serve.pictures")

# Limits for all images of one request together.
MAX_SECONDS = 10.0
MAX_BYTES = 10 * 2**20
# Concurrent fetches in one process: a slow host must not block all threads.
MAX_CONCURRENT = 8
# Longer than any URL that works everywhere. A limit, because `urlsplit` caches the last URLs.
MAX_URL_LENGTH = 8192

# The only IPv6 unicast addresses that are allocated (IANA). Others represent an IPv4 address or are
# not in use.
_ALLOCATED_IPV6 = ipaddress.ip_network("2000::/3")
# Networks that count as global but must not be reached: Azure's virtual public address ("What is IP
# address 168.63.129.16?"), and networks whose addresses represent an IPv4 address (RFC 3056,
# RFC 4380).
_BLOCKED_NETWORKS = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "2002::/16", "2001::/32")))
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)
# The address of Amazon's metadata service. Those of other clouds are link-local.
_METADATA = ipaddress.ip_address("fd00:ec2::254")


@dataclass
class FetchRejected(Exception):
    """An image that is not fetched."""

    # For the client. Contains no text from other services.
    message: str

    def __str__(self) -> str:
        return self.message


class FetchBusy(Exception):
    """An error for too many concurrent fetches."""


@dataclass(frozen=True)
class Origin:
    """The scheme, host and port of a URL."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True)
class AllowedHosts:
    """The hosts from which images can be fetched."""

    origins: frozenset[Origin] = frozenset()
    # Whether these hosts can have addresses of private networks.
    private: bool = False

    @classmethod
    def from_declaration(cls, pictures: Mapping[str, Any]) -> AllowedHosts:
        """Return the hosts in `pictures` of deploy.yaml; `host` and `host:port` mean HTTPS."""
        texts = [text if "://" in text else f"https://{text}" for text in pictures.get("urls", ())]
        origins = frozenset(_split(text)[0] for text in texts)
        return cls(origins, bool(pictures.get("private", False)))


_slots = threading.BoundedSemaphore(MAX_CONCURRENT)


def fetch(
    url: str, hosts: AllowedHosts, seconds: float = MAX_SECONDS, most: int = MAX_BYTES
) -> bytes:
    """Return the image at `url`. Raise `FetchRejected`, or `FetchBusy` for too many fetches."""
    if not hosts.origins:
        raise FetchRejected("a picture cannot be sent by URL: send it as base64")
    try:
        origin, target = _split(url)
    except ValueError:
        raise FetchRejected("this is not a valid URL of a picture") from None
    if origin not in hosts.origins:
        raise FetchRejected("pictures are not fetched from this host: send the picture as base64")
    if seconds <= 0 or most <= 0:
        raise FetchRejected("the pictures of this request are too many, too large or too slow")
    if not _slots.acquire(blocking=False):
        raise FetchBusy
    try:
        return _download(origin, target, hosts.private, seconds, most)
    except (OSError, http.client.HTTPException, ValueError) as error:
        log.warning("no picture from %s: %s", origin.host, type(error).__name__)
        raise FetchRejected("the picture cannot be fetched") from None
    finally:
        _slots.release()


def _split(url: str) -> tuple[Origin, str]:
    """Return the origin and the request target of `url`. Raise `ValueError` if it is not valid."""
    # Some programs ignore control characters and spaces, and others do not.
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(url[:20])
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError(url[:20])
    port = parts.port or (443 if parts.scheme == "https" else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.scheme, parts.hostname, port), target


def is_permitted(address: str, private: bool) -> bool:
    """Return whether an image may be fetched from `address`.

    `private` permits addresses of private networks.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip == _METADATA or ip.is_multicast or any(ip in network for network in _BLOCKED_NETWORKS):
        return False
    if private and any(ip in network for network in _PRIVATE):
        return True
    return ip.is_global and (ip.version == 4 or ip in _ALLOCATED_IPV6)


def resolve_host(host: str, port: int) -> list[str]:
    """Return the IP addresses of `host`."""
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def _download(origin: Origin, target: str, private: bool, seconds: float, most: int) -> bytes:
    end = time.monotonic() + seconds
    # Resolved only once, so that the checked address is the one that is used.
    addresses = resolve_host(origin.host, origin.port)
    if not addresses or not all(is_permitted(address, private) for address in addresses):
        log.warning("no picture from %s: one of its addresses is not public", origin.host)
        raise FetchRejected("the picture cannot be fetched")
    with _connect(origin, addresses[0], end) as connected:
        connection = http.client.HTTPConnection(origin.host, origin.port)
        connection.sock = connected
        standard = origin.port == (443 if origin.scheme == "https" else 80)
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        headers = {
            "Host": host if standard else f"{host}:{origin.port}",
            "Accept": "image/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        _check_deadline(end)
        if response.status != 200:
            # Redirects fail, too, because their target is not an allowed host.
            log.warning("no picture from %s: status %d", origin.host, response.status)
            raise FetchRejected("the picture cannot be fetched")
        if response.headers.get_content_maintype() != "image":
            raise FetchRejected("the URL does not lead to a picture")
        data = response.read(most + 1)
        if len(data) > most:
            raise FetchRejected(f"the pictures of this request have more than {most:,} bytes")
        # If an image has no length, a connection that was aborted looks like its end.
        _check_deadline(end)
        if response.length:
            raise http.client.IncompleteRead(data)
        return data


def _check_deadline(end: float) -> None:
    if time.monotonic() >= end:
        raise TimeoutError


@contextmanager
def _connect(origin: Origin, address: str, end: float) -> Iterator[socket.socket]:
    """Connect to `address`; the connection ends at `end` (monotonic seconds) in any case."""
    remaining = max(end - time.monotonic(), 0.01)
    connected = socket.create_connection((address, origin.port), timeout=remaining)
    try:
        if origin.scheme == "https":
            connected = _tls().wrap_socket(
                connected, server_hostname=origin.host, do_handshake_on_connect=False
            )
        # The timeout of a socket applies to each read: a host that sends one byte now and then
        # would never reach it.
        timer = threading.Timer(max(end - time.monotonic(), 0), _abort_connection, [connected])
        timer.daemon = True
        timer.start()
        try:
            if isinstance(connected, ssl.SSLSocket):
                connected.do_handshake()
            yield connected
        finally:
            timer.cancel()
    finally:
        connected.close()


def _abort_connection(connected: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
