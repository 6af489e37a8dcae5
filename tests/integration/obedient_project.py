"""A project of the obedient flow that deploys to one target, in the environment dev.

Its flow does as the variables COLOUR and BREAK say, so that most tests deploy one image again and again,
which is in the registry already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from deploy.config import configuration, target_registry
from deploy.core.entities import Deployment, Image, Plan, Spec, Step
from deploy.core.errors import DeployError
from deploy.delivery import image_reference, pipeline
from tests.integration import obedient_flow, scoring
from tests.integration.obedient_flow import FLOW

# Small, so that a container is quickly there.
CLEAR = {"COLOUR": "blue", "SERVE_WORKERS": "1", "SERVE_THREADS": "8"}


@dataclass(frozen=True)
class ObedientProject:
    """The project, the flow's images that are in the registry, and what its files say in every test.

    That is of dev: `settings` in deploy.yaml, `place` in environments.yaml.
    """

    project: configuration.Project
    images: tuple[Image, ...]
    settings: Mapping[str, Any]
    place: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The flow's deploy.yaml."""
        return self.project.root / f"flows/{FLOW}/{configuration.DEPLOY_FILE}"

    def declare(self, colour: str = "blue", broken: str = "", **settings: Any) -> Spec:
        """Say what is wanted: a flow that answers with this colour, or is broken in this way.

        With these settings beside those of every test; None takes one out.
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
        """Say where: the environment as in every test, but for these."""
        text = json.dumps({"local": {}, "dev": {**self.place, **place}})
        (self.project.root / configuration.ENVIRONMENTS_FILE).write_text(text, encoding="utf-8")

    def spec(self) -> Spec:
        (found,) = configuration.load_specs(self.project, "dev", FLOW)
        return found

    def handed(self, image: int = 0) -> Path:
        """Return the file that names one of the images."""
        return image_reference.write(self.project.root, FLOW, self.images[image], "")

    def plan(self, image: int = 0) -> Plan:
        return pipeline.plan(self.project, self.spec(), self.handed(image))

    def deploy(self, image: int = 0, wait: bool = True) -> Deployment:
        return pipeline.deploy(self.project, self.spec(), self.handed(image), wait)

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
        """Return what a caller needs to be let in."""
        spec = self.spec()
        return dict(target_registry.get(spec.target).headers(spec))

    def colour(self, url: str) -> str:
        """Return the colour of what answers there."""
        answer = scoring.ask(url, self.headers())
        assert answer.status_code == 200, answer.text
        return scoring.colour(answer.text)


def make(
    folder: Path,
    images: tuple[Image, ...],
    settings: Mapping[str, Any],
    place: Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
) -> ObedientProject:
    """Write such a project; `variables` are those of whoever deploys."""
    project = replace(obedient_flow.project(folder), environ=dict(variables or {}))
    made = ObedientProject(project, images, settings, place)
    made.locate()
    made.declare()
    return made
