"""docs/your-flow.md is whole: its files make two flows, which answer as the page says."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploy.build import lock_files
from deploy.config import configuration
from deploy.evaluation import specification
from tests import markdown_pages
from tests.documented import ROOT

PAGE = ROOT / "docs/your-flow.md"
# JSON has no remark that could name its file, so these are in the order of the page.
DATA = (
    "flows/greeting/sample.json",
    "flows/greeting/evaluation/names.jsonl",
    "flows/total/sample.json",
)


@pytest.fixture
def project(tmp_path: Path) -> configuration.Project:
    """Return a project of the page's files, and of what it says without a block of its own."""
    named = dict(zip(DATA, _texts("json"), strict=True))
    for language in ("yaml", "python", "text"):
        for text in _texts(language):
            if found := re.match(r"# (flows/\S+)\n", text):
                named[found[1]] = text
    evaluation = next(text for text in _texts("yaml") if text.startswith("evaluation:"))
    named["flows/greeting/deploy.yaml"] += evaluation
    named["flows/total/requirements.txt"] = named["flows/greeting/requirements.txt"]
    named["environments.yaml"] = "local: {}\n"
    for name, text in named.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return configuration.open_project(tmp_path)


def _texts(language: str) -> list[str]:
    page = PAGE.read_text("utf-8")
    return [f"{one.text}\n" for one in markdown_pages.find_blocks(page) if one.language == language]


def test_the_configuration_of_both_flows_is_valid(project: configuration.Project) -> None:
    specs = configuration.load_specs(project, "local")
    assert [(spec.flow.name, spec.flow.kind) for spec in specs] == [
        ("greeting", "dag"),
        ("total", "flex"),
    ]


def test_the_evaluation_is_valid(
    project: configuration.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A lock asks a package index.
    monkeypatch.setattr(lock_files, "read", lambda _: "promptflow-core==1.18.5\n")
    prepared = specification.load_spec(
        configuration.load_flows(project, "greeting")[0], project.root
    )
    assert len(prepared.data.rows) == 2


def test_flows_answer_as_documented(
    project: configuration.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    core: Any = ModuleType("promptflow.core")
    core.tool = lambda function: function
    monkeypatch.setitem(sys.modules, "promptflow", ModuleType("promptflow"))
    monkeypatch.setitem(sys.modules, "promptflow.core", core)
    flows = project.root / "flows"
    greeted = _scored(flows / "greeting", "greet")
    assert f'"answer": "{greeted}"' in PAGE.read_text("utf-8")
    assert f"`{json.dumps(_scored(flows / 'total', 'total'))}`" in PAGE.read_text("utf-8")


def _scored(folder: Path, name: str) -> Any:
    made = runpy.run_path(str(folder / f"{name}.py"))
    return made[name](**json.loads((folder / "sample.json").read_text("utf-8")))
