"""Fixtures of tests that use Machine Learning by its SDK; they name this module in `pytest_plugins`.

They are not in conftest.py: importing the SDK takes seconds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.core.entities import Image
from deploy.sandbox.azure import Azure
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.identities import DATA_SCIENTIST, READER, Identity
from tests.integration import azureml_client
from tests.integration.azure_fixtures import SignIn
from tests.integration.azureml_client import Sdk

ROOT = Path(__file__).parents[2]


@pytest.fixture
def image(scripted_images: tuple[Image, ...]) -> str:
    """An image of the scripted flow in the registry, by digest."""
    return scripted_images[0].pinned


@pytest.fixture
def deployer(azure: Azure, sign_in: SignIn) -> Identity:
    """Who is logged in; may deploy to the workspace, and only read everything else."""
    made = azure.identity("deployer", subscription=[READER], **{"mlw-flows": [DATA_SCIENTIST]})
    sign_in(made)
    return made


@pytest.fixture
def sdk(azure: Azure, workspace: Workspace, deployer: Identity, image: str) -> Sdk:
    """The real SDK, of the deployer."""
    return Sdk(azureml_client.connect(azure, workspace), image, str(azure.authority.bundle))
