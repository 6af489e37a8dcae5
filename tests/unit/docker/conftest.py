"""A machine where nothing of the docker command is configured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.docker import endpoint as finding
from deploy.docker import engine
from tests.unit.docker.servers import Handler, UnixServer, serving


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where nothing is configured; return the folder of the docker command's files."""
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(finding, "find_other_sockets", list)
    monkeypatch.setattr(engine, "find_other_sockets", list)
    folder = tmp_path / ".docker"
    folder.mkdir()
    return folder


@pytest.fixture
def socket_path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "e.sock"
    for _ in serving(UnixServer(str(path), Handler)):
        yield path
