"""Answers of a user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import choosing_page


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return choosing_page.project(tmp_path)
