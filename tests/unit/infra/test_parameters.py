"""The parameter files in infra/ match the configuration of this repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.config.configuration import Project
from deploy.core.errors import DeployError
from deploy.infra import desired, parameters
from tests import projects
from tests.projects import FIXTURE

FILES = sorted((FIXTURE / "infra").glob("*.bicepparam"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_parameter_files_are_up_to_date(path: Path) -> None:
    text = path.read_text("utf-8")
    found = re.search(r"For subscription (\S+)\.$", text, re.MULTILINE)
    assert found
    project = Project(FIXTURE, {"AZURE_SUBSCRIPTION_ID": found[1]})
    printed = f"inv infra.plan --env {path.stem}"
    assert parameters.render_parameters(desired.load(project, path.stem)) == text, printed


def test_there_is_one_for_each_environment_in_azure() -> None:
    assert [path.stem for path in FILES] == ["dev", "prod"]


def test_an_unset_variable_is_a_question(tmp_path: Path) -> None:
    files = {
        "environments.yaml": "dev: {subscription: '${NOBODY}', infra: {location: a}}\n",
        "flows/hello/deploy.yaml": "environments:\n  dev: {target: azureml}\n",
    }
    made = desired.load(projects.make(tmp_path, files), "dev")
    assert made.subscription is None
    assert made.names.registry == "crflowsdevxxxxx"


def test_the_registry_to_promote_from_is_that_of_its_own_environment(tmp_path: Path) -> None:
    files = {
        "environments.yaml": "dev: {subscription: s, registry: crgiven.azurecr.io}\n"
        "prod: {subscription: t, infra: {promote_from: dev}}\n",
        "flows/hello/deploy.yaml": "environments:\n  dev: {target: azureml}\n"
        "  prod: {target: azureml}\n",
    }
    made = desired.load(projects.make(tmp_path, files), "prod")
    assert made.promotion_source == desired.PromotionSource("s", "rg-flows-dev", "crgiven")


def test_mistakes_are_readable_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "environments.yaml": "local: {}\ndev:\n  infra:\n    locaton: a\n    names: {regitry: x}\n",
        "flows/hello/deploy.yaml": "environments:\n  local: {target: local}\n"
        "  dev: {target: azureml}\n",
    }
    project = projects.make(tmp_path, files)
    assert _said(project, "local") == (
        "--env local: no flow runs in Azure in this environment\n"
        "  → set `target: azureml` or `target: appservice` in a flow's deploy.yaml"
    )
    assert _said(project, "dev") == (
        "environments.yaml:4: dev.infra.locaton: unknown key\n  → did you mean location?"
    )
    path = tmp_path / "environments.yaml"
    path.write_text(path.read_text("utf-8").replace("locaton", "location"), "utf-8")
    assert _said(project, "dev") == (
        "environments.yaml: dev.infra.names.regitry: no resource has this key\n"
        "  → did you mean registry?"
    )


def _said(project: Project, environment: str) -> str:
    with pytest.raises(DeployError) as raised:
        desired.load(project, environment)
    return str(raised.value)
