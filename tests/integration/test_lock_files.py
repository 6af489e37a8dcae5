"""Locking against the package index."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.build import lock_files
from deploy.config import configuration
from deploy.core.errors import DeployError
from tests import projects


def lock(root: Path, requirements: str, **files: str) -> str:
    project = projects.make(root, {"flows/hello/requirements.txt": requirements, **files})
    flow = configuration.load_flow(project, "hello")
    path = lock_files.write_lock(flow)
    assert lock_files.read(flow), "what was just locked is up to date"
    return path.read_text(encoding="utf-8")


def test_a_lock_has_the_packages_of_the_flow_and_the_server(tmp_path: Path) -> None:
    text = lock(tmp_path, "promptflow-core==1.18.5\npromptflow-tools==1.6.1\n")
    for name in ("promptflow-core", "promptflow-tools", "uvicorn", "starlette", "httpx"):
        assert f"\n{name}==" in text
    for name in ("promptflow", "promptflow-devkit", "pandas", "azure-identity"):
        assert f"\n{name}==" not in text
    assert "://" not in text
    assert "--hash=sha256:" in text


def test_unused_packages_are_omitted_unless_required(tmp_path: Path) -> None:
    needed = "promptflow-core==1.18.5\n"
    text = lock(tmp_path / "without", needed)
    for name in ("fastapi", "flask", "openai", "pydantic", "tiktoken", "werkzeug"):
        assert f"\n{name}==" not in text
    assert "\njinja2==" in text
    text = lock(tmp_path / "with", f"{needed}flask>=3\ntiktoken\n")
    for name in ("flask", "werkzeug", "tiktoken", "regex"):
        assert f"\n{name}==" in text


def test_a_flow_with_a_connection_to_a_model_has_openai(tmp_path: Path) -> None:
    for kind, expected in (("open_ai", True), ("serp", False)):
        connection = f"connections:\n  it: {{type: {kind}, api_key: KEY}}\n"
        deploy = {"flows/hello/deploy.yaml": projects.DEPLOY + connection}
        text = lock(tmp_path, "promptflow-core==1.18.5\n", **deploy)
        assert ("\nopenai==" in text) == expected


def test_a_connection_that_may_use_an_identity_brings_azure_identity(tmp_path: Path) -> None:
    connection = "connections:\n  ai: {type: azure_open_ai, api_base: BASE, api_key: KEY}\n"
    deploy = projects.DEPLOY + connection
    text = lock(tmp_path, "promptflow-core==1.18.5\n", **{"flows/hello/deploy.yaml": deploy})
    assert "\nazure-identity==" in text
    deploy = deploy.replace("api_key: KEY", "api_key: KEY, auth: key")
    text = lock(tmp_path, "promptflow-core==1.18.5\n", **{"flows/hello/deploy.yaml": deploy})
    assert "\nazure-identity==" not in text


def test_a_flow_that_names_the_whole_of_promptflow_gets_it(tmp_path: Path) -> None:
    text = lock(tmp_path, "promptflow==1.18.5\n")
    assert "\npromptflow-devkit==" in text
    assert "\npandas==" in text


def test_included_requirements_count(tmp_path: Path) -> None:
    more = {"flows/hello/more.txt": "lunr==0.8.0\n"}
    assert "\nlunr==0.8.0" in lock(tmp_path, "promptflow-core==1.18.5\n-r more.txt\n", **more)
    (tmp_path / "flows/hello/more.txt").write_text("lunr==0.7.0\n", encoding="utf-8")
    flow = configuration.load_flow(configuration.open_project(tmp_path), "hello")
    with pytest.raises(DeployError, match="out of date"):
        lock_files.read(flow)


def test_requirements_that_cannot_be_met(tmp_path: Path) -> None:
    with pytest.raises(DeployError) as caught:
        lock(tmp_path, "promptflow-core==0.0.1\n")
    assert "uv failed:" in str(caught.value)
    assert "promptflow-core==0.0.1" in str(caught.value)
    assert not (tmp_path / "flows/hello/requirements.lock").exists()
    assert not list((tmp_path / "flows/hello").glob("*.overrides"))


def test_another_promptflow_than_that_which_packs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeployError) as caught:
        lock(tmp_path, "promptflow-core==1.18.1\n")
    assert str(caught.value) == (
        "flows/hello/requirements.txt: it resolves to promptflow-core 1.18.1, but flows are packed with 1.18.5\n"
        "  → require promptflow-core==1.18.5, or change deploy/build/pack.txt"
    )
