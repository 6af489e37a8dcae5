"""What tests do with the example of an extension: a project that deploys to an emulated container app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.emulator.acr import Acr
from tests.emulator.azure import Azure
from tests.emulator.identities import (
    ACR_PULL,
    ACR_PUSH,
    CONTAINER_APPS_CONTRIBUTOR,
    IDENTITY_OPERATOR,
    READER,
    SECRETS_USER,
    Identity,
)
from tests.integration import web_project as web

APP, ENVIRONMENT, IDENTITY = "obedient-dev", "cae-flows", "id-flows"
SETTINGS: Mapping[str, Any] = {
    "target": "containerapps",
    "app": APP,
    "auth": "key",
    "slot": None,
    "start_timeout": 60,
}


@dataclass(frozen=True)
class Standing:
    """What infrastructure has made: the identity of apps, and the places that a project names."""

    identity: Identity
    place: Mapping[str, Any]


def stand(azure: Azure, acr: Acr) -> Standing:
    """Make what infrastructure makes: a managed environment, an identity with its roles, the key."""
    identity = azure.identity(IDENTITY, **{acr.name: [ACR_PULL], web.VAULT: [SECRETS_USER]})
    azure.vault(web.VAULT).set(web.SECRET, web.KEY)
    id = f"{azure.arm.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{IDENTITY}"
    environment = azure.apps.add_environment(ENVIRONMENT)
    return Standing(identity, {"identity": id, "managed_environment": environment})


def deployer(azure: Azure) -> Identity:
    """Return somebody who may deploy, and no more."""
    roles = {"crflows": [ACR_PUSH], IDENTITY: [IDENTITY_OPERATOR], web.VAULT: [SECRETS_USER]}
    apps = [CONTAINER_APPS_CONTRIBUTOR]
    return azure.identity("ci", subscription=[READER], group=apps, **roles)


def declare(project: web.Project, colour: str = "blue", **settings: Any) -> None:
    """Write deploy.yaml for a flow that answers with this colour."""
    clear = {**web.CLEAR, "COLOUR": colour, **settings.pop("clear", {})}
    project.declare(**{**SETTINGS, "env": {"clear": clear}, **settings})
