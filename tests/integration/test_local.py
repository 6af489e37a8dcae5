"""The local target on a real engine: it keeps, replaces, refuses and removes; the tool as users run it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import docker
import docker.errors
import pytest
from invoke.context import Context
from invoke.exceptions import Exit

import tasks
from deploy.cli import delivery, repository
from deploy.cli.errors import EXIT_CODE_DIFFERENT
from deploy.config import configuration
from deploy.core import output
from deploy.core.errors import DeployError
from deploy.delivery import drift, pipeline
from deploy.targets import local_container
from deploy.testing.waiting import until
from tests import projects
from tests.integration.local_project import ask, containers, deploy, refusal, spec, write

CONNECTION = """\
connections:
  store:
    type: custom
    configs: {url: STORE_URL}
    secrets: {token: STORE_TOKEN}
"""


@pytest.mark.bases
def test_the_first_container_is_as_strict_as_can_be(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    planned = pipeline.plan(project, spec(project))
    assert [step.action for step in planned.steps] == ["create"]
    first = deploy(project)
    assert first.auth == "none"
    assert ask(first.url) == "you asked why?"
    (name,) = containers(client, project)
    host = client.containers.get(name).attrs["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    # Podman names each capability that it drops: what the process has counts.
    code = "print([line for line in open('/proc/1/status') if line.startswith('CapEff')])"
    status = client.containers.get(name).exec_run(["python3", "-c", code]).output
    assert status == b"['CapEff:\\t0000000000000000\\n']\n"
    assert host["Memory"] == 2**30
    assert host["PortBindings"]["8080/tcp"][0]["HostIp"] == "127.0.0.1"
    assert [step.action for step in pipeline.plan(project, spec(project)).steps] == ["keep"]


@pytest.mark.bases
def test_a_change_replaces_the_container_and_keeps_its_url(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    first = deploy(project)
    write(project, "answer.py", projects.CODE.replace("you asked", "you wonder"))
    planned = pipeline.plan(project, spec(project))
    assert [(s.action, s.why) for s in planned.steps] == [("replace", "another image")]
    second = deploy(project)
    assert second.url == first.url
    assert second.tag != first.tag
    assert ask(second.url) == "you wonder why?"
    assert len(containers(client, project)) == 1


def test_other_settings_replace_it_too(project: configuration.Project) -> None:
    deploy(project)
    settings = "target: local, memory: 512m, env: {clear: {SERVE_THREADS: '8'}}"
    write(project, "deploy.yaml", projects.DEPLOY.replace("target: local", settings))
    planned = pipeline.plan(project, spec(project))
    assert planned.steps[0].why == "other limits, other variables"
    deploy(project)
    assert not pipeline.plan(project, spec(project)).has_changes
    write(project, "deploy.yaml", projects.DEPLOY)
    assert pipeline.plan(project, spec(project)).steps[0].why == "other limits, other variables"


def test_drift_of_what_runs_is_found(
    project: configuration.Project,
    client: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(repository, "ROOT", project.root)
    (nothing,) = drift.compare_flow(project, spec(project))
    assert (nothing.what, nothing.why, nothing.drift) == (
        "deployment",
        "nothing is deployed",
        True,
    )
    deploy(project)
    assert drift.compare_flow(project, spec(project)) == []
    write(project, "answer.py", projects.CODE.replace("you asked", "you wonder"))
    (content,) = drift.compare_flow(project, spec(project))
    assert (content.what, content.drift) == ("content", False)
    write(project, "answer.py", projects.CODE)

    (name,) = containers(client, project)
    # As `docker update` does.
    client.containers.get(name).update(mem_limit="700m", memswap_limit="1400m")
    (limits,) = drift.compare_flow(project, spec(project))
    assert (limits.flow, limits.what, limits.why, limits.drift) == (
        "hello",
        f"container {name}",
        "other limits",
        True,
    )
    assert containers(client, project) == [name]
    capsys.readouterr()
    with pytest.raises(Exit) as ended:
        delivery.drift(Context(), json=True)
    assert ended.value.code == EXIT_CODE_DIFFERENT
    assert json.loads(capsys.readouterr().out) == [vars(limits)]
    deploy(project)
    delivery.drift(Context())
    assert capsys.readouterr().out == "all deployments match the configuration\n"


def test_secret_variables_are_masked_in_the_log(
    project: configuration.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = "target: local, env: {secret: [MY_TOKEN]}"
    write(project, "deploy.yaml", projects.DEPLOY.replace("target: local", settings))
    code = projects.CODE.replace(
        "    return", "    os.write(2, os.environ['MY_TOKEN'].encode())\n    return"
    )
    write(project, "answer.py", f"import os\n{code}")
    given = replace(project, environ={"MY_TOKEN": "hidden-value"})
    made = pipeline.deploy(given, spec(given))
    assert ask(made.url) == "you asked why?"
    until(lambda: "***" in "".join(pipeline.logs(spec(given), 100)))
    assert "hidden-value" not in "".join(pipeline.logs(spec(given), 100))


def test_destroy_removes_its_own_and_nothing_else(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    made = deploy(project)
    label = {
        f"{local_container.LABEL_PREFIX}.project": "another-project",
        f"{local_container.LABEL_PREFIX}.flow": "hello",
    }
    stranger = client.containers.create(made.image_id, labels=label)
    try:
        steps = pipeline.destroy(spec(project))
        assert [step.what for step in steps] == [f"container {made.name}"]
        assert containers(client, project) == []
        assert client.containers.get(str(stranger.id))
        assert client.images.get(made.image_id)
        assert pipeline.destroy(spec(project)) == ()
        assert pipeline.status(spec(project)) is None
    finally:
        stranger.remove(force=True)


def test_connection_values_reach_the_flow_and_only_it(
    project: configuration.Project, client: docker.DockerClient, capfd: pytest.CaptureFixture[str]
) -> None:
    code = projects.CODE.replace("(question: str)", "(question: str, store: CustomConnection)")
    code = code.replace('f"you asked {question}"', 'f"{store.url} {len(store.token)}"')
    code = code.replace(
        "import tool\n", "import tool\nfrom promptflow.connections import CustomConnection\n"
    )
    flow = projects.FLOW.replace(
        "    question: ${inputs.question}\n", "    question: ${inputs.question}\n    store: store\n"
    )
    write(project, "answer.py", code)
    write(project, "flow.dag.yaml", flow)
    write(project, "deploy.yaml", projects.DEPLOY + CONNECTION)
    assert refusal(project) == (
        "hello in local: connection store: set STORE_URL (its url); connection store: set STORE_TOKEN "
        "(its token)\n  → in .env (see .env.example)"
    )
    (project.root / ".env").write_text("STORE_URL=https://a\nSTORE_TOKEN=hidden-value\n", "utf-8")
    given = configuration.open_project(project.root)
    made = pipeline.deploy(given, spec(given))
    assert ask(made.url) == "https://a 12"
    shown = json.dumps(config_of(given)) + "\n".join(pipeline.logs(spec(given), 100))
    shown += json.dumps(asdict(made)) + "".join(capfd.readouterr())
    assert "hidden-value" not in shown
    assert "https://a" in shown


def config_of(project: configuration.Project) -> object:
    from deploy.config import origins

    return origins.describe_spec(spec(project))


def test_custom_strong_type(project: configuration.Project) -> None:
    code = """\
from promptflow.connections import CustomStrongTypeConnection
from promptflow.contracts.types import Secret
from promptflow.core import tool


class Store(CustomStrongTypeConnection):
    token: Secret
    url: str


@tool
def answer(question: str, store: Store) -> str:
    return f"{type(store).__name__} {store.url} {len(store.token)}"
"""
    flow = projects.FLOW.replace(
        "    question: ${inputs.question}\n", "    question: ${inputs.question}\n    store: store\n"
    )
    write(project, "answer.py", code)
    write(project, "flow.dag.yaml", flow)
    write(project, "deploy.yaml", projects.DEPLOY + CONNECTION + "    custom_type: answer:Store\n")
    given = replace(project, environ={"STORE_URL": "https://a", "STORE_TOKEN": "hidden-value"})
    assert ask(pipeline.deploy(given, spec(given)).url) == "Store https://a 12"


def test_the_commands_of_a_day_print_tables(
    project: configuration.Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(repository, "ROOT", project.root)
    # What others in this process left.
    output.send_summary("")
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    for name in ("deploy", "status", "smoke", "logs", "destroy"):
        tasks.namespace[name](Context())
        assert "hello" in capsys.readouterr().out, name
    delivery.destroy(Context())
    assert capsys.readouterr().out == "nothing to remove: no flow is deployed\n"
    text = summary.read_text("utf-8")
    heads = [line for line in text.splitlines() if line.startswith(("###", "<details>"))]
    assert heads == [
        "### Plan of hello in local",
        "### Deployed to local",
        "<details><summary>inv deploy: phases</summary>",
        "### Status of local",
        "### Smoke test in local",
        "<details><summary>inv smoke: phases</summary>",
    ]
    assert re.search(r"^\| hello \| healthy \| \d+\.\d\d \|$", text, re.MULTILINE)


def test_a_key_from_the_environment_and_another(project: configuration.Project) -> None:
    write(
        project, "deploy.yaml", projects.DEPLOY.replace("target: local", "target: local, auth: key")
    )
    assert "set SERVE_KEY (env.secret)" in refusal(project)

    keyed = replace(project, environ={**project.environ, "SERVE_KEY": "key-of-a-test-1234"})
    found = deploy(keyed)
    other = replace(project, environ={**project.environ, "SERVE_KEY": "another-key-of-a-test"})
    with pytest.raises(DeployError) as caught:
        pipeline.run_smoke_test(spec(other))
    assert "the container has another key than SERVE_KEY now" in str(caught.value)
    assert deploy(other).created != found.created
    pipeline.run_smoke_test(spec(other))
