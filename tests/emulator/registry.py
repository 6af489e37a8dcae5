"""A real registry process on a free port of this machine: Distribution 2.8, with its files in a folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.emulator import tools
from tests.emulator.server import HOST

START_SECONDS = 30
# The shell waits for its standard input to end, which it does when this process ends, however that
# comes about; then it takes the registry with it.
SUPERVISE = '"$@" </dev/null & child=$!; read -r _; kill -9 $child; wait $child'


class Registry:
    """One process. `token` is its configuration for bearer tokens; without, everybody may do all.

    `relative` makes it answer with paths instead of addresses, as ACR does.
    """

    def __init__(
        self, folder: Path, token: dict[str, str] | None = None, relative: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "registry.log"
        self._storage = folder / "storage"
        self._settings = folder / "registry.json"
        # It is YAML as well.
        self._settings.write_text(json.dumps(self._configuration(token, relative)), "utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def name(self) -> str:
        """Host and port, as in an image's name."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """Its address, without TLS."""
        return f"http://{self.name}"

    def start(self) -> None:
        """Start it, and return once it listens. Raises `tools.MissingError`, `RuntimeError`."""
        program = tools.docker_registry()
        command = ["sh", "-c", SUPERVISE, "sh", str(program), "serve", str(self._settings)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for the tests, which then stop it.
                start_new_session=True,
                # Settings come from the file alone, traces go nowhere.
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            text = self._log.read_text("utf-8", "replace")
            found = re.search(rf"listening on {re.escape(HOST)}:(\d+)", text)
            if found:
                self.port = int(found[1])
                return
            if "level=fatal" in text or "configuration error" in text:
                break
            time.sleep(0.02)
        self.stop()
        tail = self._log.read_text("utf-8", "replace")[-2000:]
        raise RuntimeError(f"the registry did not start within {START_SECONDS} s:\n{tail}")

    def stop(self) -> None:
        """End it. Its files stay."""
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

    def __enter__(self) -> Registry:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _configuration(self, token: dict[str, str] | None, relative: bool) -> dict[str, Any]:
        made: dict[str, Any] = {
            "version": "0.1",
            # At this level it says where it listens, and then no more.
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self._storage)},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {"addr": f"{HOST}:0", "relativeurls": relative, "secret": "of the tests"},
        }
        if token:
            made["auth"] = {"token": token}
        return made
