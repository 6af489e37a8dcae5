"""What tests do with the target appservice: a project that deploys to an emulated site.

Its flow does as the variables COLOUR and BREAK say, so that most tests deploy one image again and again,
which is pushed once for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import docker
import pytest
import requests

from deploy import artifact, config, images, pipeline
from deploy.errors import DeployError
from deploy.model import Deployment, Image, Plan, Spec
from deploy.registry import wire
from deploy.targets import appservice
from tests.emulator.acr import Acr
from tests.emulator.azure import Azure
from tests.emulator.identities import (
    ACR_PULL,
    ACR_PUSH,
    READER,
    SECRETS_USER,
    WEBSITE_CONTRIBUTOR,
    Identity,
)
from tests.emulator.web.slot import Site
from tests.integration import obedient_flow

ROOT = Path(__file__).parents[2]
FLOW = "obedient"
GROUP, APP, SLOT, VAULT, FOLDER = "rg-flows", f"app-{FLOW}", "staging", "kv-flows", "appservice"
SECRET = f"{FLOW}-dev-key"
KEY = "key-of-a-test-0123456789"
SETTINGS: dict[str, Any] = {"target": "appservice", "auth": "key", "slot": SLOT}
# Small, so that a container is quickly there.
CLEAR = {"COLOUR": "blue", "SERVE_WORKERS": "1", "SERVE_THREADS": "8"}


@dataclass(frozen=True)
class Project:
    """A project, and the images of its flow that are in the registry already."""

    project: config.Project
    images: tuple[Image, ...]

    def declare(self, **settings: Any) -> None:
        """Write deploy.yaml with these settings beside those of all tests; None takes one out."""
        together = {**SETTINGS, "env": {"clear": CLEAR}, **settings}
        dev = {name: value for name, value in together.items() if value is not None}
        declared = {
            "sample": "sample.json",
            "expect": {"answer": "string"},
            "environments": {"local": {"target": "local"}, "dev": dev},
        }
        path = self.project.root / f"flows/{FLOW}/deploy.yaml"
        path.write_text(json.dumps(declared), encoding="utf-8")

    def colour(self, colour: str, **settings: Any) -> None:
        """Write deploy.yaml for a flow that answers with this colour."""
        self.declare(env={"clear": {**CLEAR, "COLOUR": colour}}, **settings)

    def broken(self, how: str, **settings: Any) -> None:
        """Write deploy.yaml for a flow that is broken: crash, hang, 502."""
        self.declare(env={"clear": {**CLEAR, "BREAK": how}}, **settings)

    def place(self, azure: Azure, acr: Acr, **more: Any) -> None:
        """Write environments.yaml."""
        place = {
            **azure.place(acr, FOLDER),
            "resource_group": GROUP,
            "app": "app-{flow}",
            "key_vault": azure.vault(VAULT).server.url,
            **more,
        }
        text = json.dumps({"local": {}, "dev": place})
        (self.project.root / "environments.yaml").write_text(text, encoding="utf-8")

    def spec(self) -> Spec:
        (found,) = config.load_specs(self.project, "dev", FLOW)
        return found

    def deploy(self, image: int = 0, wait: bool = True) -> Deployment:
        return pipeline.deploy(self.project, self.spec(), self._handed(image), wait)

    def plan(self, image: int = 0) -> Plan:
        return pipeline.plan(self.project, self.spec(), self._handed(image))

    def refusal(self, image: int = 0) -> str:
        """Return why a deploy fails."""
        with pytest.raises(DeployError) as caught:
            self.deploy(image)
        return str(caught.value)

    def rollback(self) -> Deployment:
        return pipeline.rollback(self.project, self.spec())

    def _handed(self, image: int) -> Path:
        return artifact.write(self.project.root, FLOW, self.images[image], "")


def project(folder: Path, images: tuple[Image, ...]) -> Project:
    """Return a new project of the flow."""
    return Project(obedient_flow.project(folder, ROOT), images)


def pushed(
    azure: Azure, client: docker.DockerClient, folder: Path, count: int = 2
) -> tuple[Image, ...]:
    """Return images of the flow that differ by a comment, in the registry."""
    acr = azure.registry("crflows")
    made = obedient_flow.project(folder, ROOT)
    found = []
    for number in range(count):
        path = made.root / f"flows/{FLOW}/answer.py"
        path.write_text(f"{obedient_flow.CODE}\n# {number}\n", encoding="utf-8")
        built = images.build(made, config.load_flow(made, FLOW))
        pinned = obedient_flow.push(azure, acr, client, built.id, f"{FOLDER}/{FLOW}")
        repository, _, digest = pinned.partition("@")
        found.append(replace(built, repository=repository, digest=digest))
    return tuple(found)


def site(azure: Azure, acr: Acr, size: str = "S1", slots: tuple[str, ...] = (SLOT,)) -> Site:
    """Return a site as infrastructure makes it, and a key in the vault."""
    made = azure.web.add_site(APP, azure.web.add_plan("plan-flows", size), *slots)
    azure.vault(VAULT).set(SECRET, KEY)
    for slot in made.slots.values():
        assert slot.managed.system
        slot.managed.system.give(acr.name, ACR_PULL)
        slot.managed.system.give(VAULT, SECRETS_USER)
    return made


def deployer(azure: Azure) -> Identity:
    """Return somebody who may deploy, and no more."""
    roles = {"crflows": [ACR_PUSH], APP: [WEBSITE_CONTRIBUTOR], VAULT: [SECRETS_USER]}
    return azure.identity("ci", subscription=[READER], **roles)


def rows(planned: Plan) -> list[tuple[str, str]]:
    """What a plan does to what, in its order."""
    return [(step.action, step.what) for step in planned.steps]


def ask(url: str, **headers: str) -> requests.Response:
    """Score once."""
    http = wire.session()
    http.trust_env = False
    return http.post(f"{url}/score", json={"question": "why?"}, headers=headers, timeout=60)


def colour(found: Deployment | str, key: str = KEY) -> str:
    """Return the colour of what answers."""
    url = found if isinstance(found, str) else found.url
    answer = ask(url, Authorization=f"Bearer {key}")
    return str(answer.json()["answer"]).partition(" ")[0]


@dataclass
class Caller:
    """A client that scores all the time: the colours of the answers, and what was lost."""

    colours: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@contextmanager
def calling(project: Project, url: str, callers: int = 2) -> Iterator[Caller]:
    """Score all the time inside of the block."""
    headers = dict(appservice.TARGET.headers(project.spec()))
    caller, done = Caller(), Event()

    def call() -> None:
        http = wire.session()
        http.trust_env = False
        body = {"question": "why?"}
        # Dense enough to meet every moment, and leaves the processors to the containers.
        while not done.wait(0.02):
            try:
                answer = http.post(f"{url}/score", json=body, headers=headers, timeout=60)
                if answer.status_code == 200:
                    caller.colours.append(str(answer.json()["answer"]).partition(" ")[0])
                else:
                    caller.lost.append(f"{answer.status_code} {answer.text[:200]}")
            except requests.RequestException as error:
                caller.lost.append(repr(error))

    threads = [Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield caller
    finally:
        done.set()
        for thread in threads:
            thread.join()
