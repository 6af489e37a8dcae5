"""The local target on a real engine where the flow, the engine or the machine fails."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import docker
import docker.errors
import pytest

from deploy.config import configuration
from deploy.core.errors import DeployError
from deploy.delivery import pipeline, resolve_image
from deploy.targets import local_container
from tests import projects
from tests.integration.local_project import containers, deploy, refusal, spec, write

BROKEN = projects.CODE.replace("@tool", "raise RuntimeError('no table')\n\n\n@tool")


def test_a_flow_that_cannot_start(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    write(project, "answer.py", BROKEN)
    message = refusal(project)
    assert "no table" in message
    assert "Traceback" not in message
    assert containers(client, project) == []


def test_a_sample_that_the_flow_rejects(project: configuration.Project) -> None:
    write(project, "sample.json", '{"query": "why?"}')
    assert refusal(project).startswith(
        "flows/hello/sample.json: the flow rejects it: missing input: question"
    )


def test_an_answer_that_lacks_an_expected_field(project: configuration.Project) -> None:
    write(
        project,
        "deploy.yaml",
        projects.DEPLOY.replace("{answer: string}", "{answer: list, sources: list}"),
    )
    assert refusal(project).startswith(
        "hello in local: the answer to flows/hello/sample.json is not as expected: "
        "answer: list expected, not string; sources is missing"
    )
    assert pipeline.status(spec(project)) is None


def test_a_failing_flow_names_the_node(project: configuration.Project) -> None:
    write(project, "answer.py", projects.CODE.replace("return", "raise KeyError('x')\n    return"))
    message = refusal(project)
    assert "status 500: the flow failed in node answer" in message
    assert "KeyError" in message


def test_port_that_is_taken(project: configuration.Project, client: docker.DockerClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = f"target: local, port: {port}"
        write(project, "deploy.yaml", projects.DEPLOY.replace("target: local", settings))
        assert refusal(project) == (
            f"port {port}: another program uses this port\n"
            "  → stop it, or set another `port` for this environment in deploy.yaml"
        )
    assert containers(client, project) == []
    # It is free now.
    assert deploy(project).url.endswith(f":{port}")


def test_another_port_is_taken_without_a_gap(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    first = deploy(project)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = f"target: local, port: {port}"
        write(project, "deploy.yaml", projects.DEPLOY.replace("target: local", settings))
        assert "another program uses this port" in refusal(project)
        assert pipeline.status(spec(project)) == first, "it was not even restarted"
    second = deploy(project)
    assert second.url.endswith(f":{port}")
    assert len(containers(client, project)) == 1


def test_code_that_ends_the_process_while_it_is_packed(project: configuration.Project) -> None:
    write(project, "answer.py", f"import os\nos._exit(0)\n{projects.CODE}")
    message = refusal(project)
    assert message.startswith("packing hello: it failed:")
    assert "answer.py" in message
    assert "Traceback" not in message


def test_engine_that_is_gone(project: configuration.Project, tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/gone.sock"
    found = replace(spec(project), place=local_container.Place(engine=address))
    with pytest.raises(DeployError) as caught:
        pipeline.status(found)
    assert str(caught.value) == (
        f"Docker: no engine answers at {address} (environments.yaml)\n"
        "  → start it, or correct environments.yaml"
    )


def test_disk_that_is_full(
    project: configuration.Project, client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk of an engine cannot be had in a test: its answer is, word by word, that of the engine."""
    from docker.models.containers import ContainerCollection

    def full(*args: object, **kwargs: object) -> None:
        text = "mkdir /var/lib/docker/overlay2/abc: no space left on device"
        raise docker.errors.APIError("500 Server Error", explanation=text)

    resolve_image.build_image(project, spec(project).flow)
    monkeypatch.setattr(ContainerCollection, "create", full)
    message = refusal(project)
    assert message.startswith(
        "Docker: deploying hello in local: mkdir /var/lib/docker/overlay2/abc: no space"
    )
    assert "the disk of the engine is full: `docker system df`" in message
