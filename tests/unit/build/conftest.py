"""An engine without base images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.build import base_pull, debian_base
from tests.unit.build.fake_engine import Engine


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.chdir(tmp_path)
    made = Engine()
    monkeypatch.setattr(base_pull, "pull", made.pull)
    monkeypatch.setattr(debian_base, "make", made.make)
    yield made
