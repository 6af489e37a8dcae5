"""What each target needs so that its contract (test_target_contract.py) can be tested.

A further target gets the whole contract by one function here and a line in `STAGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.core.entities import Spec
from deploy.docker import engine
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import DATA_SCIENTIST, SECRETS_USER, WEBSITE_CONTRIBUTOR, Identity
from deploy.server.auth import KEY_VARIABLE
from deploy.targets import local_container
from tests.integration import apps_project, extension, ml_project, web_project
from tests.integration.obedient_flow import REGISTRY


@dataclass(frozen=True)
class Stage:
    """What the obedient flow's files say so that it is deployed to a target, with `auth: key`.

    `settings` are of dev in deploy.yaml, and `place` of dev in environments.yaml beside what every
    stage says there (`Azure.place`); `variables` are those of whoever deploys. `changes` returns
    what was changed there so far, in whatever form: who only looks leaves it as it is.

    Where a target does not promise it, `gapless` is false (callers meet nobody for the moment in
    which one version takes the other's place), or `keeps_earlier` is (there is no way back).
    `extension` is the distribution that brings the target, where it is none of the project's own.
    """

    settings: Mapping[str, Any]
    changes: Callable[[Spec], object]
    place: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    gapless: bool = True
    keeps_earlier: bool = True
    extension: Path | None = None


def local(azure: Azure, deployer: Identity) -> Stage:
    """This machine's engine, which has the images from the registry."""

    def changes(spec: Spec) -> object:
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
    workspace = azure.workspace(ml_project.WORKSPACE, azure.registry(REGISTRY))
    deployer.assign_roles(ml_project.WORKSPACE, DATA_SCIENTIST)
    settings = {**ml_project.SETTINGS, "auth": "key"}
    return Stage(settings, lambda spec: workspace.writes, ml_project.PLACE)


def appservice(azure: Azure, deployer: Identity) -> Stage:
    """A site with a slot, and a key in the vault."""
    web_project.site(azure, azure.registry(REGISTRY))
    deployer.assign_roles(web_project.APP, WEBSITE_CONTRIBUTOR)
    deployer.assign_roles(web_project.VAULT, SECRETS_USER)
    place = web_project.place(azure)
    return Stage(web_project.SETTINGS, lambda spec: azure.web.writes, place)


def containerapps(azure: Azure, deployer: Identity) -> Stage:
    """The example of an extension: an environment, an identity, a vault; it makes the app itself."""
    azure.registry(REGISTRY)
    apps_project.stand(azure)
    apps_project.may_deploy(deployer)
    place, changes = apps_project.place(azure), lambda spec: azure.apps.writes
    return Stage(apps_project.SETTINGS, changes, place, extension=extension.EXAMPLE)


STAGES: dict[str, Callable[[Azure, Identity], Stage]] = {
    "local": local,
    "azureml": azureml,
    "appservice": appservice,
    "containerapps": containerapps,
}
