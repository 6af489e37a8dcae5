"""A project that use cases of the LLMOps template are imported into."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config.configuration import Project
from tests import projects
from tests.unit.importers.use_cases import VARIABLES


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = projects.make(tmp_path / "ours", {}, VARIABLES)
    monkeypatch.chdir(made.root)
    return made
