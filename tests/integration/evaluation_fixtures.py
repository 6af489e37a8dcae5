"""Fixtures of tests of evaluations."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.projects import FIXTURE


@pytest.fixture
def project_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The flows of the fixture in a folder of the test's own."""
    root = (tmp_path / "copy").resolve()
    shutil.copytree(FIXTURE / "flows", root / "flows")
    shutil.copy(FIXTURE / "environments.yaml", root)
    monkeypatch.chdir(root)
    return root
