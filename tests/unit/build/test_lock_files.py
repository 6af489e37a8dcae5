"""Locks that are missing or out of date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.build import lock_files
from deploy.config.configuration import load_flow
from deploy.core.errors import DeployError
from tests import projects


def _stale(project: Any) -> str:
    with pytest.raises(DeployError) as caught:
        lock_files.read(load_flow(project, "hello"))
    return str(caught.value)


def test_lock_missing_and_out_of_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = projects.make(tmp_path, {})
    fix = "\n  → run `inv lock --flow hello` and commit requirements.lock"
    assert _stale(project) == f"flows/hello/requirements.lock: there is no such file{fix}"
    (tmp_path / "flows/hello/requirements.lock").write_text("a==1\n", encoding="utf-8")
    assert _stale(project) == (
        "flows/hello/requirements.lock: it is out of date with requirements.txt "
        f"(or with the server's requirements){fix}"
    )


def test_missing_requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = projects.make(tmp_path, {"flows/hello/requirements.txt": None})
    assert _stale(project) == (
        "flows/hello/requirements.txt: there is no such file\n  → list the flow's packages in it"
    )
