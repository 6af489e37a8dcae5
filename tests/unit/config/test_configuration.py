"""Loading a project's configuration: environments, flows, variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config import configuration, target_registry
from deploy.core.errors import DeployError
from tests import projects
from tests.unit.config.configuration_errors import message


def test_unknown_environment(tmp_path: Path) -> None:
    project = projects.make(tmp_path, {})
    assert message(project, "locl") == (
        "--env locl: environments.yaml has no such environment\n  → did you mean local?"
    )


def test_unknown_flow(tmp_path: Path) -> None:
    project = projects.make(tmp_path, {})
    assert message(project, flow="helo") == (
        "--flow: there is no flow 'helo' under flows/\n  → did you mean hello?"
    )


def test_environment_that_the_flow_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = projects.make(tmp_path, {"environments.yaml": "local: {}\nprod: {}\n"})
    assert message(project, "prod", "hello") == (
        "flows/hello/deploy.yaml: the flow hello has no environment prod\n  → known: local"
    )


def test_variable_of_environments_yaml_that_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = projects.make(
        tmp_path, {"environments.yaml": "local: {engine: 'ssh://${BUILD_HOST}'}\n"}
    )
    assert message(project) == (
        "environments.yaml:1: local.engine: the variable BUILD_HOST is not set\n"
        "  → set it, or put it into .env"
    )


def test_secret_variable_that_is_not_set_stops_a_deploy_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = "target: local, env: {secret: [DB_PASSWORD]}"
    connection = "connections:\n  ai: {type: open_ai, api_key: AI_KEY}\n"
    deploy = projects.DEPLOY.replace("target: local", settings) + connection
    project = projects.make(tmp_path, {"flows/hello/deploy.yaml": deploy})
    (spec,) = configuration.load_specs(project, "local")
    with pytest.raises(DeployError) as caught:
        target_registry.get("local").check(spec)
    assert str(caught.value) == (
        "hello in local: set DB_PASSWORD (env.secret); connection ai: set AI_KEY (its api_key)\n"
        "  → in .env (see .env.example)"
    )


def test_line_of_env_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    projects.make(tmp_path, {".env": "GOOD=1\nthis is hunter2 'and no line\n"})
    with pytest.raises(DeployError) as caught:
        configuration.open_project(tmp_path)
    assert str(caught.value) == ".env:2: this line cannot be read\n  → write NAME=value"


def test_merged_keys_are_read(tmp_path: Path) -> None:
    deploy = "x: &x\n  target: local\nenvironments:\n  local:\n    <<: *x\n    prot: 1\n"
    text = message(projects.make(tmp_path, {"flows/hello/deploy.yaml": deploy}))
    assert "environments.local.prot: unknown key" in text


def test_environment_that_no_flow_has(tmp_path: Path) -> None:
    project = projects.make(tmp_path, {"environments.yaml": "local: {}\nprod: {}\n"})
    assert message(project, "prod") == (
        "--env prod: no flow has this environment\n  → add it to a flow's deploy.yaml"
    )


def test_unknown_key_in_environments_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = projects.make(tmp_path, {"environments.yaml": "local: {engin: x}\n"})
    assert message(project) == (
        "environments.yaml:1: local.engin: unknown key\n  → did you mean engine?"
    )
