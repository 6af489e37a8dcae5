"""Fetch a picture from a host that deploy.yaml allows, and from nowhere else.

What a client names is fetched by the server, from inside of its network: it must not become a way
to read what only the server reaches (OWASP, "Server-Side Request Forgery Prevention Cheat Sheet").
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

log = logging.getLogger("serve.pictures")

# What one request may fetch in all.
SECONDS = 10.0
BYTES = 10 * 2**20
# So many at a time in one process: a slow host must not hold every thread.
AT_ONCE = 8
# Longer than any address that works everywhere; `urlsplit` keeps the last ones that it was given.
LONGEST = 8192

# The only unicast addresses of IPv6 that are given out (IANA); others stand for one of IPv4, or for
# nothing.
_GIVEN_OUT = ipaddress.ip_network("2000::/3")
# Global addresses by their number: Azure's virtual public address ("What is IP address
# 168.63.129.16?"), and networks whose addresses stand for one of IPv4 (RFC 3056, RFC 4380).
_REFUSED = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "2002::/16", "2001::/32")))
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)
# Of Amazon's metadata service; those of others are link-local.
_METADATA = ipaddress.ip_address("fd00:ec2::254")

Resolve = Callable[[str, int], list[str]]


@dataclass
class Refused(Exception):
    """A picture that is not fetched; `message` is for the client, and holds no text of others."""

    message: str

    def __str__(self) -> str:
        return self.message


class Busy(Exception):
    """Too many pictures are being fetched."""


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port of an address."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True)
class Hosts:
    """Where pictures may come from; `private` lets the hosts have addresses of private networks."""

    origins: frozenset[Origin] = frozenset()
    private: bool = False

    @classmethod
    def declared(cls, pictures: Mapping[str, Any]) -> Hosts:
        """Return what deploy.yaml says under `pictures`: `host` and `host:port` are by HTTPS."""
        texts = [text if "://" in text else f"https://{text}" for text in pictures.get("urls", ())]
        origins = frozenset(_split(text)[0] for text in texts)
        return cls(origins, bool(pictures.get("private", False)))


_slots = threading.BoundedSemaphore(AT_ONCE)


def fetch(url: str, hosts: Hosts, seconds: float = SECONDS, most: int = BYTES) -> bytes:
    """Return the picture at `url`. Raises `Refused`, or `Busy` where others are being fetched."""
    if not hosts.origins:
        raise Refused("a picture cannot be sent by URL: send it as base64")
    try:
        origin, target = _split(url)
    except ValueError:
        raise Refused("this is no URL of a picture") from None
    if origin not in hosts.origins:
        raise Refused("pictures are not fetched from this host: send it as base64")
    if seconds <= 0 or most <= 0:
        raise Refused("the pictures of this request are too many, too large or too slow")
    if not _slots.acquire(blocking=False):
        raise Busy
    try:
        return _get(origin, target, hosts.private, seconds, most)
    except (OSError, http.client.HTTPException, ValueError) as error:
        log.warning("no picture from %s: %s", origin.host, type(error).__name__)
        raise Refused("the picture cannot be fetched") from None
    finally:
        _slots.release()


def _split(url: str) -> tuple[Origin, str]:
    """Return the origin of `url`, and what to ask it for. Raises `ValueError`."""
    # Of control characters and spaces some programs see, and some do not.
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(url[:20])
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError(url[:20])
    port = parts.port or (443 if parts.scheme == "https" else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.scheme, parts.hostname, port), target


def permitted(address: str, private: bool) -> bool:
    """Tell whether a picture may be fetched from `address`."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip == _METADATA or ip.is_multicast or any(ip in network for network in _REFUSED):
        return False
    if private and any(ip in network for network in _PRIVATE):
        return True
    return ip.is_global and (ip.version == 4 or ip in _GIVEN_OUT)


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of `host`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _get(origin: Origin, target: str, private: bool, seconds: float, most: int) -> bytes:
    end = time.monotonic() + seconds
    # Asked once: what is checked here is what is connected to.
    addresses = resolve(origin.host, origin.port)
    if not addresses or not all(permitted(address, private) for address in addresses):
        log.warning("no picture from %s: an address of it is not public", origin.host)
        raise Refused("the picture cannot be fetched")
    with _connected(origin, addresses[0], end) as connected:
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
        _in_time(end)
        if response.status != 200:
            # Also a redirect: where it leads was not allowed.
            log.warning("no picture from %s: status %d", origin.host, response.status)
            raise Refused("the picture cannot be fetched")
        if response.headers.get_content_maintype() != "image":
            raise Refused("what the URL leads to is no picture")
        data = response.read(most + 1)
        if len(data) > most:
            raise Refused(f"the pictures of this request have more than {most:,} bytes")
        # A connection that is ended looks like the end of a picture without a length.
        _in_time(end)
        if response.length:
            raise http.client.IncompleteRead(data)
        return data


def _in_time(end: float) -> None:
    if time.monotonic() >= end:
        raise TimeoutError


@contextmanager
def _connected(origin: Origin, address: str, end: float) -> Iterator[socket.socket]:
    """Connect to `address`; whatever happens, the connection is over at `end`."""
    left = max(end - time.monotonic(), 0.01)
    connected = socket.create_connection((address, origin.port), timeout=left)
    try:
        if origin.scheme == "https":
            connected = _tls().wrap_socket(
                connected, server_hostname=origin.host, do_handshake_on_connect=False
            )
        # A time limit of a socket is one for each read: a host that sends a byte now and then
        # would have no end.
        timer = threading.Timer(max(end - time.monotonic(), 0), _end, [connected])
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


def _end(connected: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
