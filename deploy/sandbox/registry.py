"""A real registry process on a free port of this machine: Distribution 2.8, files in a folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from deploy.sandbox import registry_binary
from deploy.sandbox.https_server import HOST

START_SECONDS = 30
# The shell waits for the end of its standard input, which comes when this process ends, even if it
# is killed; then the shell kills the registry.
SUPERVISOR_SCRIPT = '"$@" </dev/null & child=$!; read -r _; kill -9 $child; wait $child'


class RegistryProcess:
    """A registry process.

    `token` is its configuration for bearer tokens; without it, all requests are allowed. With
    `relative` it answers with paths instead of addresses, as ACR does.
    """

    def __init__(
        self, folder: Path, token: dict[str, str] | None = None, relative: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "registry.log"
        self._storage = folder / "storage"
        self._settings = folder / "registry.json"
        # JSON is valid YAML, which the registry reads.
        self._settings.write_text(json.dumps(self._configuration(token, relative)), "utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def name(self) -> str:
        """Host and port, as in an image's name."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The registry's address, without TLS."""
        return f"http://{self.name}"

    def start(self) -> None:
        """Start it; return once it listens. Raise `RegistryMissingError` or `RuntimeError`."""
        program = registry_binary.ensure_registry_binary()
        command = ["sh", "-c", SUPERVISOR_SCRIPT, "sh", str(program), "serve", str(self._settings)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # A session of its own: Ctrl-C must reach only the tests, which then stop it.
                start_new_session=True,
                # Settings come from the file alone; traces are not exported.
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            text = self._log.read_text("utf-8", "replace")
            match = re.search(rf"listening on {re.escape(HOST)}:(\d+)", text)
            if match:
                self.port = int(match[1])
                return
            if "level=fatal" in text or "configuration error" in text:
                break
            time.sleep(0.02)
        self.stop()
        tail = self._log.read_text("utf-8", "replace")[-2000:]
        raise RuntimeError(f"the registry did not start within {START_SECONDS} s:\n{tail}")

    def stop(self) -> None:
        """Stop the process; keep its files."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> RegistryProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _configuration(self, token: dict[str, str] | None, relative: bool) -> dict[str, Any]:
        configuration: dict[str, Any] = {
            "version": "0.1",
            # At this level it logs its port, and nothing after that.
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self._storage)},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {"addr": f"{HOST}:0", "relativeurls": relative, "secret": "of the tests"},
        }
        if token:
            configuration["auth"] = {"token": token}
        return configuration
