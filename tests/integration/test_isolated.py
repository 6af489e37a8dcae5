"""Attacks of a flow's code on the machine that packs or evaluates it, in real containers."""

from __future__ import annotations

import contextlib
import errno
import tempfile
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from deploy.core.errors import DeployError
from deploy.docker import isolated, isolated_container, isolated_network, network_rules, tar_files
from deploy.evaluation import results
from tests.integration.conftest import built

DOING = "packing hello"
LISTEN = """
import socket
with socket.create_server(("", 8080)) as server:
    print("listening", flush=True)
    while True:
        server.accept()[0].close()
"""
# Prints the name of the error, or nothing.
CONNECT = """
import errno, socket, sys
for address in sys.argv[1:]:
    try:
        socket.create_connection((address, 8080), timeout=3).close()
        print("connected")
    except TimeoutError:
        print("ETIMEDOUT")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


@pytest.fixture(scope="module")
def image() -> str:
    return built("faq")[1].id


def attack(client: docker.DockerClient, image: str, code: str, limit: int = 2**25) -> str:
    """Run `code` where flows are packed; return the sentence that it ends with."""
    command, files = ["python3", "-c", code], tar_files.pack({"out/empty": b""})
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.raises(DeployError) as caught,
        isolated.run(client, image, command, files, "/out", {}, DOING, limit=limit) as archive,
    ):
        tar_files.unpack(archive, Path(folder), DOING)
    return str(caught.value)


def online(client: docker.DockerClient, image: str, code: str, *arguments: str) -> list[str]:
    """Run `code` where flows are evaluated; return what it prints."""
    lines: list[str] = []
    command, files = ["python3", "-c", code, *arguments], tar_files.pack({"out/empty": b""})
    isolated.run_with_network(
        client, image, command, files, "/out", {}, DOING, {}, lines.append, 60
    ).close()
    return lines


def test_a_fork_bomb_is_small(client: docker.DockerClient, image: str) -> None:
    code = """
import os, sys, time
for number in range(5000):
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    except OSError as error:
        sys.exit(f"{number} processes, then: {error.strerror}")
"""
    sentence = attack(client, image, code)
    assert sentence.endswith("processes, then: Resource temporarily unavailable")
    assert 400 < int(sentence.split()[-6]) < isolated_container.MAX_PROCESSES


def test_memory_has_a_limit(
    client: docker.DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated_container, "MEMORY_BYTES", 128 * 2**20)
    sentence = attack(client, image, "kept = [b'x' * 2**24 for _ in range(64)]")
    assert sentence.startswith(f"{DOING}: it needed more than 128 MiB of memory")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("while True: print('x' * 1000)", "it printed more than 64 MiB"),
        ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "it printed more than 64 MiB"),
        (
            "import sys\nwhile True: sys.stdout.write('x' * 1000)",
            "it printed a line of more than 4 MiB",
        ),
    ],
)
def test_endless_output_is_ended_and_not_kept(
    code: str, sentence: str, client: docker.DockerClient, image: str
) -> None:
    tracemalloc.start()
    try:
        assert attack(client, image, code).startswith(f"{DOING}: {sentence}")
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


def test_a_huge_sparse_file_cannot_be_made(client: docker.DockerClient, image: str) -> None:
    sentence = attack(client, image, "open('/out/huge', 'wb').truncate(2**40)")
    assert "File too large" in sentence


def test_a_large_sparse_file_is_not_taken(client: docker.DockerClient, image: str) -> None:
    tracemalloc.start()
    try:
        sentence = attack(client, image, "open('/out/huge', 'wb').truncate(2**31)")
        assert sentence.startswith(f"{DOING}: it wrote more than 32 MiB of files")
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


def test_no_link_leaves_the_folder(client: docker.DockerClient, image: str) -> None:
    code = "import os\nos.symlink('/etc', '/out/link')"
    assert attack(client, image, code).startswith(f"{DOING}: out/link is a link")
    code = "import os, shutil\nshutil.rmtree('/out')\nos.symlink('/etc', '/out')"
    assert attack(client, image, code).startswith(f"{DOING}: ")
    code = "import os\nos.mkfifo('/out/pipe')"
    # Podman leaves pipes out, and what else is there with them.
    sentences = ("out/pipe is a device or a pipe", "its output is not a tar archive")
    assert attack(client, image, code).startswith(tuple(f"{DOING}: {one}" for one in sentences))


@pytest.mark.parametrize("line", ["not json", "[" * 5000, '{"flow": 1}', r'{"flow": "\ud800"}'])
def test_a_bad_line_of_an_evaluation_is_a_readable_error(
    line: str, client: docker.DockerClient, image: str
) -> None:
    command, files = ["python3", "-c", f"print({line!r})"], tar_files.pack({"out/empty": b""})
    with pytest.raises(DeployError, match="a line of the output is not an event of the evaluation"):
        isolated.run_with_network(
            client,
            image,
            command,
            files,
            "/out",
            {},
            DOING,
            {},
            lambda text: void(results.parse_event(text, 1, DOING)),
            60,
        )


def void(_: object) -> None:
    """Take a value, and give none."""


def test_addresses_of_metadata_services_have_no_route(
    client: docker.DockerClient, image: str
) -> None:
    found = online(client, image, CONNECT, *network_rules.METADATA_ADDRESSES)
    assert set(found) <= {"ENETUNREACH", "EADDRNOTAVAIL", "EINVAL", "EAFNOSUPPORT"}
    assert found[:3] == ["ENETUNREACH"] * 3
    assert len(found) == len(network_rules.METADATA_ADDRESSES)


@contextlib.contextmanager
def listener(
    client: docker.DockerClient, image: str, **settings: Any
) -> Iterator[tuple[Container, str]]:
    """Yield a container that accepts connections on port 8080, and its address."""
    command = ["python3", "-c", LISTEN]
    container = client.containers.create(image, entrypoint=command, command=[], **settings)
    try:
        container.start()
        next(container.logs(stream=True, follow=True))
        container.reload()
        (network,) = container.attrs["NetworkSettings"]["Networks"].values()
        yield container, network["IPAddress"]
    finally:
        container.remove(force=True)


def plain(client: docker.DockerClient, image: str, network: str, address: str) -> str:
    """Return what a container like any other sees of `address`."""
    command = ["python3", "-c", CONNECT, address]
    output: bytes = client.containers.run(
        image, entrypoint=command, command=[], network=network, remove=True
    )
    return output.decode().strip()


def test_a_service_that_others_reach_is_closed(
    client: docker.DockerClient, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service stands where a metadata service would."""
    name = f"{isolated_container.NAME_PREFIX}-test-{uuid.uuid4().hex[:8]}"
    network = client.networks.create(name)
    try:
        with listener(client, image, network=network.name) as (_, address):
            program = tmp_path / isolated_network.PROGRAM.name
            text = isolated_network.PROGRAM.read_text(encoding="utf-8")
            program.write_text(text.replace("169.254.170.2", address), encoding="utf-8")
            monkeypatch.setattr(isolated_network, "PROGRAM", program)
            monkeypatch.setattr(
                isolated_network, "_create_bridge", lambda *_: contextlib.nullcontext(network.name)
            )
            assert plain(client, image, str(network.name), address) == "connected"
            assert online(client, image, CONNECT, address) == ["ENETUNREACH"]
    finally:
        network.remove()


def test_neighbours_are_not_reached(client: docker.DockerClient, image: str) -> None:
    with listener(client, image, network="bridge") as (_, address):
        assert plain(client, image, "bridge", address) == "connected"
        assert online(client, image, CONNECT, address) != ["connected"]


@pytest.mark.bases
def test_the_program_cannot_open_its_network(client: docker.DockerClient, image: str) -> None:
    code = """
import sys
sys.path.insert(0, "/code")
import errno, socket, struct
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
    rule = struct.pack("=8BI", socket.AF_INET, 0, 0, 0, 254, 0, 0, 1, 0)
    kernel.send(struct.pack("=IHHII", 16 + len(rule), 32, 0x405, 1, 0) + rule)
    (code,) = struct.unpack_from("=16xi", kernel.recv(4096))
print(errno.errorcode[-code])
"""
    assert online(client, image, code) == [errno.errorcode[errno.EPERM]]


def test_nothing_stays(client: docker.DockerClient, image: str) -> None:
    before = {one.name for one in client.networks.list()}
    networks: list[str] = []

    def look(_: str) -> None:
        networks.extend(
            str(one.name)
            for one in client.networks.list()
            if str(one.name).startswith(isolated_container.NAME_PREFIX) and one.name not in before
        )
        raise DeployError("test", "it was interrupted", "")

    command, files = ["python3", "-c", "print(1)"], tar_files.pack({"out/empty": b""})
    with pytest.raises(DeployError, match="it was interrupted"):
        isolated.run_with_network(client, image, command, files, "/out", {}, DOING, {}, look, 60)
    assert networks
    # Another process may have made one of its own, and removes it.
    names = {one.name for one in client.networks.list()}
    assert not [name for name in networks if name in names and _is_empty(client, name)]


def _is_empty(client: docker.DockerClient, name: str) -> bool:
    with contextlib.suppress(docker.errors.NotFound):
        return not client.networks.get(name).attrs["Containers"]
    return False
