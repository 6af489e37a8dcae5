"""What each target needs so that its contract (test_target_contract.py) can be tested.

A further target gets the whole contract by one function here and a line in `STAGES`.
"""

from __future__ import annotations

from collections.abc import Callable

from deploy.config.target import AnySpec
from deploy.docker import engine
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import DATA_SCIENTIST, SECRETS_USER, WEBSITE_CONTRIBUTOR, Identity
from deploy.server.auth import KEY_VARIABLE
from deploy.targets import local_container
from deploy.testing.target_contract import Stage
from tests.integration import (
    appservice_project,
    azureml_project,
    containerapps_project,
    installed_extension,
)
from tests.integration.scripted_flow import REGISTRY


def local(azure: Azure, deployer: Identity) -> Stage:
    """This machine's engine, which has the images from the registry."""

    def changes(spec: AnySpec) -> object:
        labels = [
            f"{name}={value}" for name, value in local_container.container_labels(spec).items()
        ]
        found = engine.connect().containers.list(all=True, filters={"label": labels})
        return {str(one.name): one.attrs["State"]["StartedAt"] for one in found}

    return Stage(
        {"target": "local", "auth": "key"},
        changes,
        variables={KEY_VARIABLE: "local-key-of-a-test-0123456789"},
        gapless=False,
        keeps_earlier=False,
    )


def azureml(azure: Azure, deployer: Identity) -> Stage:
    """An empty workspace, whose own registry is that of the images."""
    workspace = azure.workspace(azureml_project.WORKSPACE, azure.registry(REGISTRY))
    deployer.assign_roles(azureml_project.WORKSPACE, DATA_SCIENTIST)
    settings = {**azureml_project.SETTINGS, "auth": "key"}
    return Stage(settings, lambda spec: workspace.writes, azureml_project.PLACE)


def appservice(azure: Azure, deployer: Identity) -> Stage:
    """A site with a slot, and a key in the vault."""
    appservice_project.site(azure, azure.registry(REGISTRY))
    deployer.assign_roles(appservice_project.APP, WEBSITE_CONTRIBUTOR)
    deployer.assign_roles(appservice_project.VAULT, SECRETS_USER)
    place = appservice_project.place(azure)
    return Stage(appservice_project.SETTINGS, lambda spec: azure.web.writes, place)


def containerapps(azure: Azure, deployer: Identity) -> Stage:
    """The example of an extension: an environment, an identity, a vault; it makes the app itself."""
    azure.registry(REGISTRY)
    containerapps_project.stand(azure)
    containerapps_project.may_deploy(deployer)
    place, changes = containerapps_project.place(azure), lambda spec: azure.apps.writes
    return Stage(containerapps_project.SETTINGS, changes, place)


STAGES: dict[str, Callable[[Azure, Identity], Stage]] = {
    "local": local,
    "azureml": azureml,
    "appservice": appservice,
    "containerapps": containerapps,
}

# Distributions with a target, which are installed for its stage.
EXTENSIONS = {"containerapps": installed_extension.EXAMPLE}
