"""Evaluations in containers."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config import configuration
from deploy.evaluation import evaluate, history
from deploy.evaluation.evaluate import Report


def run(project: configuration.Project, name: str, environment: str | None = None) -> Report:
    return evaluate.evaluate(project, configuration.load_flow(project, name), environment)


def everything(root: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Return all that a run printed and wrote."""
    printed = capfd.readouterr()
    kept = [path.read_text(encoding="utf-8") for path in (root / history.FOLDER).iterdir()]
    return "\n".join([printed.out, printed.err, *kept])
