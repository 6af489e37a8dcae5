"""A container under test, and waiting for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests
from docker.models.containers import Container


@dataclass(frozen=True)
class Running:
    """A container and its address on this machine."""

    container: Container
    url: str

    def post(self, body: Any, **headers: str) -> requests.Response:
        """POST `body` to /score as JSON."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return requests.post(f"{self.url}/score", json=body, headers=named, timeout=60)

    def get(self, path: str) -> requests.Response:
        """GET a path."""
        return requests.get(self.url + path, timeout=10)

    def logs(self) -> str:
        """Return all that the container printed."""
        return self.container.logs().decode()

    def exit_status(self) -> int:
        """Wait until the container ends; return its status."""
        return int(self.container.wait(timeout=60)["StatusCode"])
