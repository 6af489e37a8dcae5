"""Pictures are fetched from hosts that deploy.yaml allows, with limits, and nothing else is."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from deploy.server.promptflow import image_urls
from deploy.server.promptflow.image_urls import AllowedHosts, FetchRejected
from tests import image_host
from tests.image_host import PICTURE, PictureHost

PUBLIC = "8.8.8.8"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[PictureHost]:
    """A host at this machine's loopback address, which is never permitted outside of tests."""
    monkeypatch.setattr(image_urls, "is_permitted", lambda address, private: True)
    with image_host.serve() as served:
        yield served


def allowed(host: PictureHost) -> AllowedHosts:
    return AllowedHosts.from_declaration({"urls": [f"http://localhost:{host.port}"]})


def fetch(host: PictureHost, path: str, seconds: float = 10, most: int = 10**6) -> bytes:
    url = f"http://localhost:{host.port}{path}"
    return image_urls.fetch(url, allowed(host), seconds, most)


def test_an_image_of_an_allowed_host_is_fetched(host: PictureHost) -> None:
    assert fetch(host, "/picture.png?size=1") == PICTURE
    assert host.asked == ["/picture.png?size=1"]
    assert host.hosts == [f"localhost:{host.port}"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/redirect", "the picture cannot be fetched"),
        ("/error", "the picture cannot be fetched"),
        ("/short", "the picture cannot be fetched"),
        ("/text", "the URL does not lead to a picture"),
        ("/large", "the pictures of this request have more than 1,000,000 bytes"),
    ],
)
def test_a_response_that_is_no_image_is_rejected_and_not_quoted(
    host: PictureHost, path: str, message: str
) -> None:
    with pytest.raises(FetchRejected) as refusal:
        fetch(host, path)
    assert str(refusal.value) == message
    assert host.asked == [path]


@pytest.mark.parametrize("path", ["/slow", "/slow-head", "/silent"])
def test_a_slow_host_has_an_end(host: PictureHost, path: str) -> None:
    # Of a time limit for each read it would have none.
    with pytest.raises(FetchRejected, match="cannot be fetched"):
        fetch(host, path, seconds=0.3)


def test_a_slow_host_does_not_hold_every_thread(host: PictureHost) -> None:
    def hold() -> None:
        with pytest.raises(FetchRejected):
            fetch(host, "/silent", seconds=2)

    threads = [threading.Thread(target=hold) for _ in range(image_urls.MAX_CONCURRENT)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 30
    while len(host.asked) < image_urls.MAX_CONCURRENT and time.monotonic() < until:
        threading.Event().wait(0.01)
    with pytest.raises(image_urls.FetchBusy):
        fetch(host, "/picture.png")
    for thread in threads:
        thread.join()
    assert fetch(host, "/picture.png") == PICTURE


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/a.png",
        "http://images.example.com/a.png",
        "https://images.example.com:8443/a.png",
        "https://images.example.com.evil.example/a.png",
        "https://images.example.com@evil.example/a.png",
        "https://evil.example@images.example.com/a.png",
        "https://images.example.com./a.png",
        "https://images.example.com\\@evil.example/a.png",
        "https://evil.example#@images.example.com/a.png",
        "https://images.example.com /a.png",
        "https://images.example.com/a\r\nX: y",
        "https://\u0456mages.example.com/a.png",
        "https://images.example.com:99999/a.png",
        "https://2130706433/",
        "https://[::1]/",
        "https://[::1",
        "file:///etc/passwd",
        "ftp://images.example.com/a.png",
        "//images.example.com/a.png",
        "gopher://images.example.com/",
        "https://images.example.com/" + "a" * 9000,
        "",
    ],
)
def test_other_addresses_are_rejected_without_a_request(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    monkeypatch.setattr(image_urls, "resolve_host", resolve)
    with pytest.raises(FetchRejected) as refusal:
        image_urls.fetch(url, AllowedHosts.from_declaration({"urls": ["images.example.com"]}))
    assert "evil" not in str(refusal.value)


def test_without_hosts_every_url_is_rejected() -> None:
    with pytest.raises(FetchRejected, match="cannot be sent by URL"):
        image_urls.fetch("https://images.example.com/a.png", AllowedHosts())


def test_names_of_hosts_have_no_case() -> None:
    hosts = AllowedHosts.from_declaration({"urls": ["images.example.com"]})
    origin, _ = image_urls._split("HTTPS://Images.Example.COM:443/A.png")
    assert origin in hosts.origins


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "169.254.169.254", "168.63.129.16", "224.0.0.1", "100.64.0.1"),
        *("::1", "::", "fe80::1%eth0", "fd00:ec2::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:a83f:8110", "::127.0.0.1"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001:0:1::1"),
        *("192.0.2.1", "198.18.0.1", "240.0.0.1", "255.255.255.255"),
    ],
)
def test_internal_addresses_are_never_requested(address: str) -> None:
    assert not image_urls.is_permitted(address, private=False)
    assert not image_urls.is_permitted(address, private=True)


@pytest.mark.parametrize(
    "address", ["10.0.0.4", "172.17.0.1", "192.168.1.1", "fd12::1", "::ffff:10.0.0.4"]
)
def test_private_addresses_are_requested_if_deploy_yaml_allows_it(address: str) -> None:
    assert not image_urls.is_permitted(address, private=False)
    assert image_urls.is_permitted(address, private=True)


@pytest.mark.parametrize("address", [PUBLIC, "2606:4700::1111"])
def test_public_addresses_are_requested(address: str) -> None:
    assert image_urls.is_permitted(address, private=False)


def test_one_bad_address_among_good_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_urls, "resolve_host", lambda host, port: [PUBLIC, "10.0.0.4"])
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(FetchRejected, match="cannot be fetched"):
        image_urls.fetch(
            "https://a.example/", AllowedHosts.from_declaration({"urls": ["a.example"]})
        )


def test_the_checked_address_is_the_one_requested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name whose next answer is another address (DNS rebinding) leads nowhere else."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    connected: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(image_urls, "resolve_host", lambda host, port: next(answers))
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(FetchRejected):
        image_urls.fetch(
            "https://a.example/x", AllowedHosts.from_declaration({"urls": ["a.example"]})
        )
    assert connected == [(PUBLIC, 443)]
    assert next(answers) == ["127.0.0.1"]
