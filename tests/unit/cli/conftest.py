"""A machine without an engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from deploy.core import progress
from deploy.docker import engine, installation
from deploy.docker.endpoint import DEFAULT_SOCKET, DEFAULT_SOURCE, Endpoint
from tests.unit.cli.fake_machine import NO_ENGINE


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What setting up does, in place of doing it; no engine answers."""
    actions: list[str] = []

    def connect() -> None:
        raise NO_ENGINE

    def install(*packages: str) -> None:
        actions.append(f"install {' '.join(packages)}")

    @contextlib.contextmanager
    def phase(name: str, what: str) -> Iterator[None]:
        yield

    monkeypatch.setattr(engine, "connect", connect)
    monkeypatch.setattr(engine, "find_endpoint", lambda: Endpoint(DEFAULT_SOCKET, DEFAULT_SOURCE))
    monkeypatch.setattr(installation, "find_other_sockets", list)
    monkeypatch.setattr(installation, "install_packages", install)
    monkeypatch.setattr(installation, "_start_dockerd", lambda: actions.append("start"))
    monkeypatch.setattr(progress, "phase", phase)
    return actions
