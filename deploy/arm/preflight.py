"""What can be known to be wrong before anything is built, whatever runs the container in Azure."""

from __future__ import annotations

from collections.abc import Mapping

from deploy import cloud
from deploy.errors import Problem
from deploy.model import Spec
from deploy.runtime import access
from deploy.runtime.connections import IDENTITY_SIGNS, resolve

PLATFORM = "linux/amd64"


def problems(spec: Spec, runner: str, variables: Mapping[str, str]) -> list[Problem]:
    """Return every reason why `runner`, such as `a site`, could not run `spec`.

    `variables` are those of the container.
    """
    return [*_registry(spec, runner), *_image(spec, runner), *_variables(spec, variables)]


def key(spec: Spec, variables: Mapping[str, str]) -> list[Problem]:
    """Return what is wrong with the key that the container itself asks callers for."""
    auth = spec.settings.auth
    if auth == "key" and access.KEY not in variables:
        what = "`auth: key` needs a vault that holds the key"
        hint = "add `key_vault: https://‹vault›.vault.azure.net` to environments.yaml"
        return [Problem(f"--env {spec.environment}", what, hint)]
    if auth != "key" and set(access.NAMES) & set(variables):
        what = f"a key is among the variables, and `auth` is {auth}"
        return [Problem(spec.name, what, "write `auth: key`, or take the variable out")]
    return []


def _registry(spec: Spec, runner: str) -> list[Problem]:
    place = spec.place
    where = f"--env {spec.environment}"
    if place.registry is None:
        hint = "add `registry: ‹name›.azurecr.io` to it in environments.yaml"
        return [Problem(where, f"{runner} pulls from a registry, and it has none", hint)]
    server = place.registry.partition("/")[0]
    suffix = cloud.chosen(place.cloud).registry_suffix
    if not server.endswith(suffix) and place.registry_login != "azure":
        what = f"{runner} pulls with its identity, from Azure's registries only; {server} is none"
        return [Problem(where, what, f"name a registry that ends in {suffix}")]
    return []


def _image(spec: Spec, runner: str) -> list[Problem]:
    given = spec.flow.image.platform
    if given == PLATFORM:
        return []
    what = f"{runner} runs {PLATFORM} only, and image.platform is {given}"
    return [Problem(spec.name, what, f"set image.platform: {PLATFORM} in deploy.yaml")]


def _variables(spec: Spec, variables: Mapping[str, str]) -> list[Problem]:
    # What runs in Azure always has an identity.
    there = {**variables, IDENTITY_SIGNS[0]: "its own"}
    missing = [f"set {name} (env.secret)" for name in spec.missing]
    missing += resolve(spec.flow.connections, there).problems
    if not missing:
        return []
    return [Problem(spec.name, "; ".join(missing), "in .env (see .env.example)")]
