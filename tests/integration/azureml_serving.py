"""A flow that serves while one deploy after the other fails, or is killed: one image for all of them.

Two versions stand from the beginning, so that a deploy of the other one only moves traffic. How a
new one behaves is controlled by its variables (`scripted_flow.CODE`), so that nothing is built twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from deploy.config import configuration
from deploy.config.target import AnySpec, is_spec_for
from deploy.core.entities import Deployment, Image, Plan
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.azureml.frontend import ScoringFrontend
from deploy.sandbox.azureml.region import CORES
from deploy.sandbox.azureml.resources import Endpoint
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.http_exchange import Exchange
from deploy.sandbox.identities import ACR_PUSH, DATA_SCIENTIST, READER, TOKEN_SECONDS, Identity
from deploy.sandbox.scoring_clients import ClientResults
from deploy.sandbox.time_scale import DEFAULT_STARTUP_GRACE
from deploy.targets import azureml
from deploy.targets.azureml import naming
from deploy.targets.azureml.settings import EndpointSpec
from deploy.testing import clients, scripted_project
from deploy.testing.scripted_project import ScriptedProject
from deploy.testing.waiting import until
from tests.integration import azureml_project as ml
from tests.integration.azure_fixtures import signed_in
from tests.integration.scripted_flow import FOLDER, REGISTRY


@dataclass
class Standing:
    """The project, who deploys it, and what stands there."""

    azure: Azure
    acr: Acr
    workspace: Workspace
    deployer: Identity
    dev: ScriptedProject
    _fresh: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def project(self) -> configuration.Project:
        return self.dev.project

    @property
    def image_file(self) -> Path:
        """The file that names the image of all these versions."""
        path = self.dev.image_file()
        assert path
        return path

    def declare(self, colour: str, broken: str = "", **settings: Any) -> AnySpec:
        """Say what is wanted: a version of this colour, that misbehaves in this way."""
        return self.dev.declare(colour, broken, **settings)

    def locate(self, **place: str) -> None:
        """Say where: the environment as it is, but for these."""
        self.dev.locate(**place)

    def spec(self) -> EndpointSpec:
        found = self.dev.spec()
        assert is_spec_for(found, azureml.TARGET)
        return found

    def deploy(self, colour: str, broken: str = "", **settings: Any) -> Deployment:
        """Deploy a version of this colour."""
        self.declare(colour, broken, **settings)
        return self.dev.deploy()

    def plan(self, colour: str, broken: str = "", **settings: Any) -> Plan:
        self.declare(colour, broken, **settings)
        return self.dev.plan()

    def fresh(self) -> str:
        """Return a colour that no version has had."""
        return f"new-{next(self._fresh)}"

    @property
    def endpoint(self) -> Endpoint:
        return self.workspace.endpoint(naming.endpoint_name(self.spec()))

    @property
    def front(self) -> ScoringFrontend:
        return self.workspace.front(self.endpoint.name)

    def colours(self) -> dict[str, str]:
        """The colour of every deployment that is there."""
        return {
            name: str(one.properties["environmentVariables"]["COLOUR"])
            for name, one in list(self.endpoint.deployments.items())
        }

    def traffic(self) -> dict[str, int]:
        """The share of each colour."""
        colours = self.colours()
        shares = self.workspace.live_traffic(self.endpoint.name)
        return {colours[name]: share for name, share in shares.items()}

    @property
    def now(self) -> str:
        """The colour that serves."""
        ((colour, share),) = self.traffic().items()
        assert share == 100
        return colour

    @property
    def other(self) -> str:
        """The colour that stands beside it, without traffic."""
        (colour,) = set(self.colours().values()) - {self.now}
        return colour

    def named(self, colour: str) -> str:
        """Return the deployment of a colour."""
        (name,) = [name for name, one in self.colours().items() if one == colour]
        return name

    @contextmanager
    def scored(self) -> Iterator[ClientResults]:
        """Score all the time inside of the block; no answer may be lost."""
        found = self.dev.status()
        assert found
        with clients.run_clients(found.url, self.dev.headers(), count=1) as calls:
            yield calls
        assert calls.lost == []
        assert calls.answered

    @contextmanager
    def unharmed(self) -> Iterator[None]:
        """Whatever fails inside of the block, what served goes on serving all, and nothing is left."""
        before, stood = self.now, self.colours()
        with self.scored() as calls:
            yield
            # What failed is removed while nobody waits for it.
            until(lambda: self.colours() == stood)
        assert before in clients.colours(calls)
        assert self.traffic() == {before: 100}
        assert not self.plan(before).has_changes

    def tidy(self) -> None:
        """Behave well again: no faults, no limits, the usual pace and place, whatever came before."""
        self.locate()
        self.azure.arm.server.faults.clear()
        self.azure.entra.lifetime = TOKEN_SECONDS
        self.front.server.faults.clear()
        self.workspace.pace.pending_polls = 0
        self.workspace.pace.startup_grace = DEFAULT_STARTUP_GRACE
        self.workspace.limits.update(dict.fromkeys(self.workspace.limits, CORES))


def writes(exchange: Exchange) -> bool:
    """Whether a request changes an endpoint, a deployment or an environment."""
    return exchange.method in ("PUT", "PATCH", "DELETE") and "/workspaces/" in exchange.path


@pytest.fixture(scope="module")
def standing(
    azure_servers: Azure,
    scripted_images: tuple[Image, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Standing]:
    """Two versions that stand for all tests of a module: blue without traffic, green with all."""
    azure = azure_servers
    azure.reset()
    acr = azure.registry(REGISTRY)
    workspace = azure.workspace(ml.WORKSPACE, acr)
    may = {REGISTRY: [ACR_PUSH, READER], "subscription": [READER], ml.WORKSPACE: [DATA_SCIENTIST]}
    deployer = azure.identity("ci", **may)
    place = {**azure.place(acr, FOLDER), **ml.PLACE}
    folder = tmp_path_factory.mktemp("standing")
    dev = scripted_project.make(folder, scripted_images, ml.SETTINGS, place)
    with signed_in(azure, deployer, dev.project.root):
        made = Standing(azure, acr, workspace, deployer, dev)
        made.deploy("blue")
        made.deploy("green")
        yield made
    azure.reset()


@pytest.fixture
def world(standing: Standing) -> Iterator[Standing]:
    """What stands, in good order before each test. A request that Azure does not know fails it."""
    standing.tidy()
    yield standing
    standing.tidy()
    problems = standing.azure.problems()
    standing.azure.arm.server.reset()
    assert not problems, "\n".join(problems)
