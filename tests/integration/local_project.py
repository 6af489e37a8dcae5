"""A small project that deploys to the local target."""

from __future__ import annotations

import docker
import pytest
import requests

from deploy.config import configuration
from deploy.config.target import AnySpec
from deploy.core.entities import Deployment
from deploy.core.errors import DeployError
from deploy.delivery import pipeline
from deploy.targets import local_container


def spec(project: configuration.Project) -> AnySpec:
    (found,) = configuration.load_specs(project, "local")
    return found


def deploy(project: configuration.Project) -> Deployment:
    return pipeline.deploy(project, spec(project))


def write(project: configuration.Project, name: str, content: str) -> None:
    (project.root / "flows/hello" / name).write_text(content, encoding="utf-8")


def refusal(project: configuration.Project) -> str:
    with pytest.raises(DeployError) as caught:
        deploy(project)
    return str(caught.value)


def ask(url: str) -> str:
    response = requests.post(f"{url}/score", json={"question": "why?"}, timeout=30)
    return str(response.json().get("answer"))


def containers(client: docker.DockerClient, project: configuration.Project) -> list[str]:
    label = f"{local_container.LABEL_PREFIX}.project={project.name}"
    return sorted(
        str(c.name)
        for c in client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    )
