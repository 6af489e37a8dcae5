"""An emulated environment of Container Apps, and the identity that deploys to it."""

from __future__ import annotations

from typing import Any

from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import (
    ACR_PULL,
    ACR_PUSH,
    CONTAINER_APPS_CONTRIBUTOR,
    GROUP_SCOPE,
    IDENTITY_OPERATOR,
    READER,
    SECRETS_USER,
    Identity,
)
from deploy.testing.scripted_project import FLOW
from tests.integration.appservice_project import GROUP, KEY, SECRET, VAULT
from tests.integration.scripted_flow import REGISTRY

APP, ENVIRONMENT, IDENTITY = f"{FLOW}-dev", "cae-flows", "id-flows"
SETTINGS: dict[str, Any] = {"target": "containerapps", "app": APP, "auth": "key"}


def stand(azure: Azure) -> Identity:
    """Make what infrastructure makes: an environment, and the identity of apps with its roles."""
    azure.apps.add_environment(ENVIRONMENT)
    azure.vault(VAULT).set(SECRET, KEY)
    return azure.identity(IDENTITY, **{REGISTRY: [ACR_PULL], VAULT: [SECRETS_USER]})


def place(azure: Azure) -> dict[str, str]:
    """Return what environments.yaml says of dev for this target."""
    identities = f"{azure.arm.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    return {
        "resource_group": GROUP,
        "identity": f"{identities}/{IDENTITY}",
        "managed_environment": azure.apps.id("managedEnvironments", ENVIRONMENT),
        "key_vault": azure.vault(VAULT).server.url,
    }


def may_deploy(who: Identity) -> None:
    """Assign the roles to deploy, and no others."""
    who.assign_roles(GROUP_SCOPE, CONTAINER_APPS_CONTRIBUTOR)
    who.assign_roles(IDENTITY, IDENTITY_OPERATOR)
    who.assign_roles(VAULT, SECRETS_USER)


def deployer(azure: Azure) -> Identity:
    """Return an identity that may deploy, and nothing else."""
    made = azure.identity("ci", subscription=[READER], **{REGISTRY: [ACR_PUSH]})
    may_deploy(made)
    return made
