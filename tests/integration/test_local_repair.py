"""The local target when something was killed, stopped or gone: the next deploy puts it right."""

from __future__ import annotations

import docker
import pytest

from deploy.config import configuration
from deploy.core.errors import DeployError
from deploy.delivery import pipeline
from tests import projects
from tests.integration.local_project import ask, containers, deploy, refusal, spec, write


def test_image_that_is_gone_is_built_again(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    first = deploy(project)
    client.images.remove(f"hello:{first.tag}", force=True)
    assert deploy(project).tag == first.tag


def test_a_container_that_stopped_is_replaced(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    deploy(project)
    (name,) = containers(client, project)
    client.containers.get(name).kill()
    stopped = pipeline.status(spec(project))
    assert stopped is not None
    assert stopped.state == "stopped"
    with pytest.raises(DeployError, match="nothing is deployed"):
        pipeline.run_smoke_test(spec(project))
    assert deploy(project).state == "healthy"


def test_a_deploy_killed_halfway_is_repaired(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    first = deploy(project)
    (name,) = containers(client, project)
    # The state between stopping the old container and starting the new one.
    client.containers.get(name).stop()
    client.containers.get(name).rename(f"{name}-before")
    second = deploy(project)
    assert second.state == "healthy"
    assert second.url == first.url
    assert containers(client, project) == [name]


def test_a_deploy_killed_before_its_container_started_keeps_the_verified_one(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    first = deploy(project)
    (name,) = containers(client, project)
    old = client.containers.get(name)
    old.stop()
    old.rename(f"{name}-before")
    client.containers.create(first.image_id, name=name, labels=old.labels)
    write(project, "answer.py", projects.CODE.replace("return", "raise KeyError('x')\n    return"))
    refusal(project)
    assert containers(client, project) == [name]
    assert ask(first.url) == "you asked why?"


def test_leftovers_of_a_killed_deploy_are_removed_without_changes(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    first = deploy(project)
    (name,) = containers(client, project)
    labels = client.containers.get(name).labels
    client.containers.create(first.image_id, name=f"{name}-candidate", labels=labels)
    assert deploy(project).created == first.created
    assert containers(client, project) == [name]


def test_two_deploys_at_once(project: configuration.Project) -> None:
    deploy(project)
    with pipeline._lock_deployment(project, spec(project)):
        assert refusal(project) == (
            "hello in local: another deployment of this flow is in progress\n  → wait until it ends, and run the command again"
        )
    assert deploy(project).state == "healthy"
