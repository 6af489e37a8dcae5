"""Fixtures of tests that use Machine Learning by its SDK; they name this module in `pytest_plugins`.

They are not in conftest.py: importing the SDK takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from deploy import config, images
from tests.emulator.azure import Azure
from tests.emulator.identities import DATA_SCIENTIST, READER, Identity
from tests.emulator.ml.workspace import Workspace
from tests.integration import ml_client, obedient_flow
from tests.integration.azure_fixtures import LogIn
from tests.integration.ml_client import Sdk

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def built(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The id of an image of a flow that does as it is told."""
    project = obedient_flow.project(tmp_path_factory.mktemp("obedient"), ROOT)
    image = images.build(project, config.load_flow(project, "obedient"))
    yield image.id
    client.images.remove(image.id, force=True)


@pytest.fixture(scope="session")
def image(azure_servers: Azure, client: docker.DockerClient, built: str) -> str:
    """The same in the registry, by digest."""
    acr = azure_servers.registry("crflows")
    return obedient_flow.push(azure_servers, acr, client, built, "ml/obedient")


@pytest.fixture
def deployer(azure: Azure, log_in: LogIn) -> Identity:
    """Who is logged in; may deploy to the workspace, and only read everything else."""
    made = azure.identity("deployer", subscription=[READER], **{"mlw-flows": [DATA_SCIENTIST]})
    log_in(made)
    return made


@pytest.fixture
def sdk(azure: Azure, workspace: Workspace, deployer: Identity, image: str) -> Sdk:
    """The real SDK, of the deployer."""
    return Sdk(ml_client.connect(azure, workspace), image, str(azure.authority.bundle))
