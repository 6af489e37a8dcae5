"""A project with one flow, whose variables and inputs control what it does.

`COLOUR` is the first word of its answers. With `BREAK=crash` it exits at the start, with `mute` it
answers the sample badly. Most tests deploy the same image again and again.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy.config import configuration, target_registry
from deploy.config.configuration import Project
from deploy.config.target import AnyPlan, AnySpec
from deploy.core.entities import Deployment, Image, Step
from deploy.core.errors import DeployError
from deploy.delivery import image_reference, pipeline, resolve_image
from deploy.testing import clients

FLOW = "scripted"
FLOW_FILES = Path(__file__).parent / "flow"
# Each session has its own images, which it can remove.
_SESSION = uuid.uuid4().hex
VERSIONS = (f"{_SESSION} 1", f"{_SESSION} 2")
# Small, so that a container starts quickly.
CLEAR = {"COLOUR": "blue", "SERVE_WORKERS": "1", "SERVE_THREADS": "8"}


@dataclass(frozen=True)
class ScriptedProject:
    """The project, and what its files contain in every test.

    `settings` are the flow's in the environment dev (deploy.yaml), `place` is that environment
    (environments.yaml).
    """

    project: Project
    settings: Mapping[str, Any] = field(default_factory=dict)
    place: Mapping[str, Any] = field(default_factory=dict)
    # Images of two versions of the flow. They are in a registry if they have a digest.
    images: tuple[Image, ...] = ()

    @property
    def file(self) -> Path:
        """The flow's deploy.yaml."""
        return self.project.root / f"flows/{FLOW}/{configuration.DEPLOY_FILE}"

    def declare(self, colour: str = "blue", broken: str = "", **settings: Any) -> AnySpec:
        """Write deploy.yaml for a flow that answers with `colour`, or fails as `broken` says.

        `settings` are added to those of every test; None removes one.
        """
        clear = {**CLEAR, "COLOUR": colour, **({"BREAK": broken} if broken else {})}
        together = {**self.settings, "env": {"clear": clear}, **settings}
        dev = {name: value for name, value in together.items() if value is not None}
        declared = {
            "sample": "sample.json",
            "expect": {"answer": "string"},
            "environments": {"local": {"target": "local"}, "dev": dev},
        }
        self.file.write_text(json.dumps(declared), encoding="utf-8")
        return self.spec()

    def locate(self, **place: Any) -> None:
        """Write environments.yaml; `place` is added to that of every test."""
        text = json.dumps({"local": {}, "dev": {**self.place, **place}})
        (self.project.root / configuration.ENVIRONMENTS_FILE).write_text(text, encoding="utf-8")

    def spec(self) -> AnySpec:
        (spec,) = configuration.load_specs(self.project, "dev", FLOW)
        return spec

    def write_version(self, text: str) -> None:
        """Make another version of the flow, which differs by a comment with this text."""
        code = (FLOW_FILES / "answer.py").read_text("utf-8")
        path = self.project.root / f"flows/{FLOW}/answer.py"
        path.write_text(f"{code}\n# {text}\n", encoding="utf-8")

    def image_file(self, image: int = 0) -> Path | None:
        """Return the file that names one of the images; None if it is in no registry."""
        chosen = self.images[image]
        if chosen.digest:
            return image_reference.write(self.project.root, FLOW, chosen, "")
        # The pipeline finds the image by the flow's files.
        self.write_version(VERSIONS[image])
        return None

    def plan(self, image: int = 0) -> AnyPlan:
        return pipeline.plan(self.project, self.spec(), self.image_file(image))

    def deploy(self, image: int = 0, wait: bool = True) -> Deployment:
        return pipeline.deploy(self.project, self.spec(), self.image_file(image), wait)

    def refusal(self, image: int = 0) -> str:
        """Return why a deploy fails."""
        with pytest.raises(DeployError) as caught:
            self.deploy(image)
        return str(caught.value)

    def rollback(self) -> Deployment:
        return pipeline.rollback(self.project, self.spec())

    def status(self) -> Deployment | None:
        return pipeline.status(self.spec())

    def logs(self) -> str:
        return "\n".join(pipeline.logs(self.spec(), 500))

    def destroy(self) -> tuple[Step, ...]:
        return pipeline.destroy(self.spec())

    def headers(self) -> dict[str, str]:
        """Return the headers that authenticate a client."""
        spec = self.spec()
        return dict(target_registry.get(spec.target).headers(spec))

    def colour(self, url: str) -> str:
        """Return the colour of what answers there."""
        response = clients.ask(url, self.headers())
        assert response.status_code == 200, response.text
        return clients.colour(response.text)


def create(folder: Path) -> Project:
    """Write the project into `folder`."""
    shutil.copytree(FLOW_FILES, folder / "flows" / FLOW)
    project = Project(folder.resolve(), {})
    scripted = ScriptedProject(project, {"target": "local"})
    scripted.locate()
    scripted.declare()
    return project


def build_images(project: Project) -> tuple[Image, ...]:
    """Return the images of two versions of the flow, on this machine's engine."""
    scripted, images = ScriptedProject(project), []
    for text in VERSIONS:
        scripted.write_version(text)
        images.append(resolve_image.build_image(project, configuration.load_flow(project, FLOW)))
    return tuple(images)


def make(
    folder: Path,
    images: tuple[Image, ...],
    settings: Mapping[str, Any],
    place: Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
) -> ScriptedProject:
    """Write the project; `variables` are those of the process that deploys."""
    project = Project(create(folder).root, dict(variables or {}))
    scripted = ScriptedProject(project, settings, place, images)
    scripted.locate()
    scripted.declare()
    return scripted
