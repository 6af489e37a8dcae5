"""A flow whose images are scanned."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config import configuration
from deploy.core.entities import Flow
from deploy.docker.image_archive import ImageArchive
from tests import projects, small_archives


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flow:
    monkeypatch.chdir(tmp_path)
    return configuration.load_flow(projects.make(tmp_path, {}), "hello")


@pytest.fixture
def image(tmp_path: Path) -> ImageArchive:
    return small_archives.make(tmp_path / "image.tar", [{"etc/os-release": "ID=debian\n"}])
