"""Sites as values, for unit tests of the target appservice: nothing of Azure is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.config import configuration
from deploy.config.target import is_spec_for
from deploy.core.entities import Image
from deploy.targets import appservice
from deploy.targets.appservice import naming
from deploy.targets.appservice.diff import Decision, build_record, decide
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.settings import SiteSpec
from deploy.targets.appservice.site_settings import build_settings
from deploy.targets.appservice.state import ObservedState, ServicePlan, Site
from tests import projects

IMAGE = Image(
    repository="crflows.azurecr.io/hello",
    tag="0123456789ab",
    id="sha256:1",
    platform="linux/amd64",
    base="",
    commit="c" * 40,
    digest="sha256:" + "d" * 64,
)
PLACE = {
    "registry": "crflows.azurecr.io",
    "subscription": "s",
    "resource_group": "rg",
    "app": "app-{flow}",
    "key_vault": "https://kv.vault.azure.net",
}
IDENTITY = (
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
)
KEY_REFERENCE = "@Microsoft.KeyVault(SecretUri=https://kv.vault.azure.net/secrets/hello-dev-key)"


def project(
    root: Path, settings: Mapping[str, Any], place: Mapping[str, Any], **files: Any
) -> configuration.Project:
    declared = {
        "sample": "sample.json",
        "expect": {"answer": "string"},
        **files,
        "environments": {"dev": {"target": "appservice", **settings}},
    }
    return projects.make(
        root,
        {
            "flows/hello/deploy.yaml": declared,
            "environments.yaml": json.dumps({"dev": {**PLACE, **place}}),
        },
        {"TOKEN": "a-token-of-a-test"},
    )


def spec_of(root: Path, place: Mapping[str, Any] | None = None, /, **settings: Any) -> SiteSpec:
    """Return a spec of settings, and of what environments.yaml says."""
    found = project(root, {"auth": "key", **settings}, place or {})
    (one,) = configuration.load_specs(found, "dev")
    assert is_spec_for(one, appservice.TARGET)
    return one


def site(name: str = PRODUCTION, **changes: Any) -> Site:
    given = Site(
        name=name,
        state="Running",
        host=f"{name}.test",
        plan="/plans/plan",
        system_principal=f"object-{name}",
        user_identities=(),
        properties={"httpsOnly": True},
        web={
            "acrUseManagedIdentityCreds": True,
            "alwaysOn": True,
            "ftpsState": "Disabled",
            "minTlsVersion": "1.2",
        },
        settings={},
        auth={},
    )
    return replace(given, **changes)


def world(
    production: Site, slot: Site | None = None, *sticky: str, tier: str = "Standard"
) -> ObservedState:
    return ObservedState(production, slot, sticky, ServicePlan("plan", tier, True))


def decided(spec: SiteSpec, found: ObservedState, image: Image = IMAGE) -> Decision:
    return decide(spec, image, found, {})


def deployed(spec: SiteSpec, found: ObservedState, *, image: Image = IMAGE, **others: str) -> Site:
    """Return production as a deploy leaves it, with settings of others."""
    decision = decided(spec, found, image)
    left = build_record(spec, image, found, decision.desired, "ci", "2026")
    mine = build_settings(spec, found, found.production, decision.desired)
    web = {
        **found.production.web,
        "linuxFxVersion": naming.linux_fx_version(image),
        "healthCheckPath": "/health",
    }
    return replace(found.production, web=web, settings={**mine, **others, **left.settings})
