"""A connection to an engine over SSH: `ssh` runs `docker system dial-stdio` on the engine's side.

docker-py has this, too, but imports paramiko for it, and its connection is not a socket: it reads a
pipe until all the requested bytes have arrived. Here each connection is one end of a socket pair;
the other end is standard input and output of `ssh`.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import tempfile
from typing import Any
from urllib.parse import urlsplit

import urllib3
import urllib3.connection
from docker.transport import UnixHTTPAdapter

LOG_BYTES = 4096


def command(address: str) -> list[str]:
    """Return the command that connects to the engine at `address`, as docker/cli runs it.

    See getConnectionHelper in cli/connhelper/connhelper.go.
    """
    parts = urlsplit(address)
    user = ["-l", parts.username] if parts.username else []
    port = ["-p", str(parts.port)] if parts.port else []
    path = parts.path.rstrip("/")
    host = [f"--host=unix://{path}"] if path else []
    remote = shlex.join(["docker", *host, "system", "dial-stdio"])
    options = ["-o", "ConnectTimeout=30", "-T"]
    return ["ssh", *user, *port, *options, "--", str(parts.hostname), remote]


class SshAdapter(UnixHTTPAdapter):
    """An adapter that sends requests to an engine, with one `ssh` process for each connection."""

    def __init__(self, address: str, timeout: int) -> None:
        super().__init__("http+unix://unused", timeout)
        self._pool = _Pool(command(address), timeout)

    def get_connection(self, url: str | bytes, proxies: Any = None) -> Any:
        return self._pool

    def close(self) -> None:
        self._pool.close()
        super().close()

    def last_line(self) -> str:
        """Return the last line that `ssh` wrote to standard error; empty if there is none."""
        return self._pool.last_line()


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, line: list[str], timeout: int) -> None:
        super().__init__("localhost", timeout=timeout, maxsize=10)
        self._line, self._seconds = line, timeout
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the pool)
        self._processes: list[subprocess.Popen[bytes]] = []

    def _new_conn(self) -> _Connection:
        return _Connection(self, self._seconds)

    def start(self, end: socket.socket) -> None:
        """Start `ssh` with `end` as standard input and output; it ends when the other end closes.

        It runs in a session of its own, as in docker/cli, so that Ctrl-C in the terminal does not
        reach it.
        """
        # Polling reaps processes that have ended, which otherwise stay as zombies.
        self._processes = [process for process in self._processes if process.poll() is None]
        process = subprocess.Popen(
            self._line,
            stdin=end.fileno(),
            stdout=end.fileno(),
            stderr=self._log,
            start_new_session=True,
        )
        self._processes.append(process)

    def last_line(self) -> str:
        # The processes share the position in this file, which pread does not change.
        size = os.fstat(self._log.fileno()).st_size
        data = os.pread(self._log.fileno(), LOG_BYTES, max(0, size - LOG_BYTES))
        lines = data.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        super().close()
        for process in self._processes:
            process.terminate()
            process.wait()
        self._processes = []
        self._log.close()


class _Connection(urllib3.connection.HTTPConnection):
    def __init__(self, pool: _Pool, timeout: int) -> None:
        super().__init__("localhost", timeout=timeout)
        self._pool, self._seconds = pool, timeout

    def connect(self) -> None:
        client_end, ssh_end = socket.socketpair()
        with ssh_end:
            self._pool.start(ssh_end)
        client_end.settimeout(self._seconds)
        self.sock = client_end
