"""Fixtures of tests that push to registries in an emulated Azure."""

from __future__ import annotations

import pytest

from deploy.config import configuration
from deploy.core import http_requests
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import Identity
from tests.integration.azure_fixtures import SignIn
from tests.integration.registry_project import with_places


@pytest.fixture
def pusher(azure: Azure, sign_in: SignIn) -> Identity:
    """Act as an identity that may push to both registries."""
    identity = azure.identity("ci", crflows=["AcrPush"], crproduction=["AcrPush"])
    sign_in(identity)
    return identity


@pytest.fixture
def cloud_project(
    project: configuration.Project, azure: Azure, acr: Acr, production_acr: Acr, folder: str
) -> configuration.Project:
    """The small project, with an environment for each of the two registries."""
    places = {"dev": azure.place(acr, folder), "prod": azure.place(production_acr, folder)}
    return with_places(project, places)


@pytest.fixture
def short_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a tenth of the time before another attempt."""
    monkeypatch.setattr(http_requests, "BACK_OFF", 0.05)
