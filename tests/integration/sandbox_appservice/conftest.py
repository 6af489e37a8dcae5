"""A site with a slot in the emulated App Service, and the SDK of an identity that deploys there."""

from __future__ import annotations

import pytest

from deploy.core.entities import Image
from deploy.sandbox.acr import Acr
from deploy.sandbox.appservice.slot import Site
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import (
    ACR_PULL,
    READER,
    WEBSITE_CONTRIBUTOR,
    Identity,
)
from tests.integration.azure_fixtures import SignIn
from tests.integration.sandbox_appservice.appservice_sdk import SITE, SLOT, Sdk, connect


@pytest.fixture
def image(scripted_images: tuple[Image, ...]) -> str:
    """An image of the scripted flow in the registry, by digest."""
    return scripted_images[0].pinned


@pytest.fixture
def deployer(azure: Azure, sign_in: SignIn) -> Identity:
    made = azure.identity("deployer", subscription=[READER], **{SITE: [WEBSITE_CONTRIBUTOR]})
    sign_in(made)
    return made


@pytest.fixture
def site(azure: Azure, acr: Acr) -> Site:
    """A site with a slot, as infrastructure makes it."""
    made = azure.web.add_site(SITE, azure.web.add_plan("plan-faq"), SLOT)
    for slot in made.slots.values():
        assert slot.managed.system
        slot.managed.system.assign_roles(acr.name, ACR_PULL)
    return made


@pytest.fixture
def sdk(azure: Azure, site: Site, deployer: Identity, image: str) -> Sdk:
    return Sdk(connect(azure), image, str(azure.authority.bundle))
