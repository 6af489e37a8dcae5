"""Fixtures of tests that build images."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config import configuration
from tests import projects
from tests.projects import FIXTURE


@pytest.fixture
def built_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> configuration.Project:
    """A project with the locked packages of faq, so that they are there already."""
    names = ("requirements.txt", "requirements.lock")
    files = {f"flows/hello/{n}": (FIXTURE / "flows/faq" / n).read_text("utf-8") for n in names}
    monkeypatch.chdir(tmp_path)
    return projects.make(tmp_path, files)
