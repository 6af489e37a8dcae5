"""What tests do with a small project and the local target."""

from __future__ import annotations

import docker
import pytest
import requests

from deploy import config, pipeline
from deploy.errors import DeployError
from deploy.model import Deployment, Spec
from deploy.targets import local_container


def spec(project: config.Project) -> Spec:
    (found,) = config.load_specs(project, "local")
    return found


def deploy(project: config.Project) -> Deployment:
    return pipeline.deploy(project, spec(project))


def write(project: config.Project, name: str, content: str) -> None:
    (project.root / "flows/hello" / name).write_text(content, encoding="utf-8")


def refusal(project: config.Project) -> str:
    with pytest.raises(DeployError) as caught:
        deploy(project)
    return str(caught.value)


def ask(url: str) -> str:
    response = requests.post(f"{url}/score", json={"question": "why?"}, timeout=30)
    return str(response.json().get("answer"))


def containers(client: docker.DockerClient, project: config.Project) -> list[str]:
    label = f"{local_container.LABEL}.project={project.name}"
    return sorted(
        str(c.name)
        for c in client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    )
