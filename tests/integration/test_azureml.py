"""The target azureml against an emulated Azure, with real containers: first, again, another, back."""

from __future__ import annotations

import pytest

from deploy import config
from tests.emulator.acr import Acr
from tests.emulator.azure import Azure
from tests.emulator.ml.workspace import Workspace
from tests.integration import ml_project as ml
from tests.integration.azure_fixtures import LogIn
from tests.integration.publishing import change

ROLES = ["AzureML Data Scientist"]


@pytest.fixture
def workspace(azure: Azure, acr: Acr) -> Workspace:
    return azure.workspace(ml.WORKSPACE, acr)


@pytest.fixture
def ml_dev(
    project: config.Project,
    azure: Azure,
    acr: Acr,
    workspace: Workspace,
    log_in: LogIn,
    folder: str,
) -> config.Project:
    """The small project, deployed by somebody who may."""
    identity = azure.identity("ci", crflows=["AcrPush", "Reader"])
    identity.give(ml.WORKSPACE, *ROLES)
    identity.give("subscription", "Reader")
    log_in(identity)
    return ml.with_endpoint(project, azure, acr, folder)


def test_first_then_nothing_then_another(ml_dev: config.Project, workspace: Workspace) -> None:
    planned = ml.plan(ml_dev)
    print(planned.steps)
    first = ml.deploy(ml_dev)
    print(first)
    assert first.state == "healthy"
    print(ml.plan(ml_dev).steps)
    writes = len(workspace.writes)
    ml.deploy(ml_dev)
    assert len(workspace.writes) == writes
    change(ml_dev, "# another")
    print(ml.plan(ml_dev).steps)
    with ml.calling(ml_dev, first) as caller:
        second = ml.deploy(ml_dev)
    print(second)
    assert caller.lost == []
    assert caller.answers
    print(workspace.writes)
