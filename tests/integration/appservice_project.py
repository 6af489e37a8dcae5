"""A site in an emulated App Service, and the identity that deploys to it."""

from __future__ import annotations

from typing import Any

from deploy.core.entities import Plan
from deploy.sandbox.acr import Acr
from deploy.sandbox.appservice.slot import Site
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import (
    ACR_PULL,
    ACR_PUSH,
    READER,
    SECRETS_USER,
    WEBSITE_CONTRIBUTOR,
    Identity,
)
from deploy.testing.scripted_project import FLOW
from tests.integration.scripted_flow import REGISTRY

GROUP, APP, SLOT, VAULT = "rg-flows", f"app-{FLOW}", "staging", "kv-flows"
SECRET = f"{FLOW}-dev-key"
KEY = "key-of-a-test-0123456789"
SETTINGS: dict[str, Any] = {"target": "appservice", "auth": "key", "slot": SLOT}


def place(azure: Azure) -> dict[str, str]:
    """Return what environments.yaml says of dev for this target."""
    url = azure.vault(VAULT).server.url
    return {"resource_group": GROUP, "app": "app-{flow}", "key_vault": url}


def site(azure: Azure, acr: Acr, size: str = "S1", slots: tuple[str, ...] = (SLOT,)) -> Site:
    """Return a site as infrastructure makes it, and a key in the vault."""
    made = azure.web.add_site(APP, azure.web.add_plan("plan-flows", size), *slots)
    azure.vault(VAULT).set(SECRET, KEY)
    for slot in made.slots.values():
        assert slot.managed.system
        slot.managed.system.assign_roles(acr.name, ACR_PULL)
        slot.managed.system.assign_roles(VAULT, SECRETS_USER)
    return made


def deployer(azure: Azure) -> Identity:
    """Return an identity that may deploy, and nothing else."""
    roles = {REGISTRY: [ACR_PUSH], APP: [WEBSITE_CONTRIBUTOR], VAULT: [SECRETS_USER]}
    return azure.identity("ci", subscription=[READER], **roles)


def rows(planned: Plan) -> list[tuple[str, str]]:
    """What a plan does to what, in its order."""
    return [(step.action, step.what) for step in planned.steps]
