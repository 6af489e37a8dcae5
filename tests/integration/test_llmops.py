"""Imported use cases of the LLMOps template: locked, built, served, evaluated."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.build import lock_files
from deploy.config import configuration
from deploy.config.configuration import Project
from deploy.core.entities import Flow
from deploy.delivery import resolve_image
from deploy.evaluation import evaluate
from deploy.importers.llmops import conversion, detection, writer
from tests import llmops_repositories, projects
from tests.integration.conftest import Start
from tests.projects import FIXTURE


def imported(
    tmp_path: Path, files: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> tuple[Project, Flow]:
    project = projects.make(tmp_path / "ours", {})
    monkeypatch.chdir(project.root)
    theirs = llmops_repositories.write(tmp_path / "theirs", files)
    found = conversion.convert_use_case(project, detection.load_use_case(theirs, None), None)
    writer.write_import(project, found)
    return project, configuration.load_flow(project, found.flow)


def test_an_imported_flow_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, flow = imported(tmp_path, llmops_repositories.older(), monkeypatch)
    lock_files.write_lock(flow)
    locked = lock_files.read(flow)
    for name in ("promptflow-core", "promptflow-tools", "lunr", "openai", "azure-identity"):
        assert f"\n{name}==" in f"\n{locked}"
    assert "\npromptflow==" not in locked


def test_an_imported_flow_is_built_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    files = llmops_repositories.newer()
    # Without the evaluation that asks a model, its packages are those of faq, which are there.
    experiment = llmops_repositories.EXPERIMENT.partition("- name: polite")[0]
    files["order_status/experiment.yaml"] = experiment
    project, flow = imported(tmp_path, files, monkeypatch)
    shutil.copy(FIXTURE / "flows/faq" / lock_files.LOCK, flow.folder)
    image = resolve_image.build_image(project, flow)
    running = start(image)
    answer = requests.post(f"{running.url}/score", json={"order": "A-1"}, timeout=30)
    assert answer.json() == {"status": "sent", "text": "Your order A-1 is sent.\n"}
    report = evaluate.evaluate(project, flow)
    assert report.problems == ()
    assert report.record.metrics == {"evaluation/exact": {"accuracy": 1.0}}
