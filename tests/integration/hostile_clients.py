"""Clients that mean no good. Each opens its connections, and closes them at the end of its block.

Run as a program, it opens and drops connections: in a process of its own, so that it takes no time
from clients that are measured.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.integration import load
from tests.integration.load import Address

# Less than an answer, so that the server must keep the rest.
WINDOW = 4096
# A question that finds nothing at once, and comes back whole in the answer.
LONG = load.request({"question": "." * 100_000})
# Connections that are dropped a second at most, and between two pauses.
A_SECOND = 1000
AT_ONCE = 20
ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def never_reading(to: Address, clients: int) -> Iterator[None]:
    """Send a request with a long answer from each client; read nothing of it."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(to, WINDOW)) for _ in range(clients)]
        for connection in opened:
            connection.sendall(LONG)
        waiting = opened
        while waiting:
            # Readable: the server has begun to answer, and cannot go on.
            ready, _, _ = select.select(waiting, [], [], 60)
            assert ready, f"{len(waiting)} clients were not answered within 60 s"
            waiting = [connection for connection in waiting if connection not in ready]
        yield


@contextlib.contextmanager
def dribbling(to: Address, clients: int, sent_first: bytes, then: bytes) -> Iterator[None]:
    """Send `sent_first`, and then one byte of `then` a second, from each client."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(to)) for _ in range(clients)]
        for connection in opened:
            connection.sendall(sent_first)
        left = threading.Event()

        def dribble() -> None:
            for byte in then:
                for connection in opened:
                    # The server may have had enough of it.
                    with contextlib.suppress(OSError):
                        connection.send(bytes([byte]))
                if left.wait(1):
                    return

        with in_background(dribble, left):
            yield


@contextlib.contextmanager
def in_background(attack: Callable[[], None], left: threading.Event) -> Iterator[None]:
    """Run `attack` beside the block; at its end set `left` and wait until `attack` returns."""
    thread = threading.Thread(target=attack)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()


@contextlib.contextmanager
def holding(to: Address, clients: int, sent_first: bytes) -> Iterator[None]:
    """Send `sent_first` from each client, and nothing more."""
    with contextlib.ExitStack() as stack:
        for _ in range(clients):
            stack.enter_context(connect(to)).sendall(sent_first)
        yield


@contextlib.contextmanager
def dropping(to: Address, connections: int) -> Iterator[None]:
    """Open and drop connections, from another process: so many, and on until the block ends."""
    command = [sys.executable, "-m", "tests.integration.hostile_clients", to[0], str(to[1])]
    with subprocess.Popen([*command, str(connections)], cwd=ROOT, stdin=subprocess.PIPE) as process:
        yield
        # It stops once its input ends, and it has done its number.
        process.communicate(timeout=60)
    assert process.returncode == 0


def endless_head(to: Address, most: int) -> int:
    """Send headers without an end; return the bytes after which the server had enough.

    Gives up after `most` bytes.
    """
    line = b"X-Endless: " + b"x" * 1013 + b"\r\n"
    sent = 0
    with connect(to) as connection, contextlib.suppress(OSError):
        connection.settimeout(10)
        connection.sendall(b"POST /score HTTP/1.1\r\nHost: flow\r\n")
        while sent < most:
            connection.sendall(line * 64)
            sent += len(line) * 64
    return sent


def connect(to: Address, window: int | None = None) -> socket.socket:
    """Return a connection, with `window` bytes that the client takes unread."""
    connection = socket.socket()
    if window:
        # Before connecting: the window is agreed on then.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connection.settimeout(60)
    connection.connect(to)
    return connection


def main() -> None:
    """Open and drop connections: every other one by a reset, and half of them after a line."""
    host, port, connections = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    reset = struct.pack("ii", 1, 0)
    message = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        message.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    # What the server makes of it is measured, not who gets more of this machine's processors.
    os.nice(19)
    number = 0
    while number < connections or not message.is_set():
        with connect((host, port)) as connection:
            if number % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            if number % 4 < 2:
                connection.sendall(b"POST /score HTTP/1.1\r\n")
        number += 1
        if number % AT_ONCE == 0:
            time.sleep(AT_ONCE / A_SECOND)


if __name__ == "__main__":
    main()
