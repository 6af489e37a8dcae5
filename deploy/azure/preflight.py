"""Checks before a build that all Azure targets share."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from deploy.azure import clouds, container_variables
from deploy.azure.settings import AuthSettings, PlainSecretsSettings
from deploy.config.target import AnySpec
from deploy.core.entities import Spec
from deploy.core.errors import Problem
from deploy.server import auth
from deploy.server.connections import IDENTITY_VARIABLES, resolve

PLATFORM = "linux/amd64"


def find_problems(spec: AnySpec, runner: str, variables: Mapping[str, str]) -> list[Problem]:
    """Return every reason why `runner`, such as `a site`, could not run `spec`.

    `variables` are the container's.
    """
    return [*_registry(spec, runner), *_image(spec, runner), *_variables(spec, variables)]


def find_key_problems(spec: Spec[AuthSettings], variables: Mapping[str, str]) -> list[Problem]:
    """Return the problems with the key that the container itself requires from clients."""
    method = spec.settings.auth
    if method == "key" and auth.KEY_VARIABLE not in variables:
        what = "`auth: key` needs a vault that holds the key"
        hint = "add `key_vault: https://‹vault›.vault.azure.net` to environments.yaml"
        return [Problem(f"--env {spec.environment}", what, hint)]
    if method != "key" and set(auth.KEY_VARIABLES) & set(variables):
        what = f"a key is among the variables, and `auth` is {method}"
        return [Problem(spec.name, what, "write `auth: key`, or take the variable out")]
    return []


def find_plain_secret_problems(
    spec: Spec[PlainSecretsSettings], variables: Mapping[str, str], stored_in: str, alternative: str
) -> list[Problem]:
    """Return the problem of secrets that would be stored as plain text.

    `stored_in` is the resource that would store them; `alternative` is the way to avoid it.
    """
    plain = container_variables.list_plain_secrets(spec, variables)
    if not plain or spec.settings.plain_secrets:
        return []
    message = (
        f"{', '.join(plain)} would be stored as plain text in {stored_in}, where every client with "
        "read access to it can read them"
    )
    hint = f"{alternative}, or accept it with `plain_secrets: true`"
    return [Problem(spec.name, message, hint)]


def describe_plain_secrets(names: Collection[str], stored_in: str) -> str:
    """Return the note of a plan about secrets that are stored as plain text."""
    return (
        f"{', '.join(names)}: stored as plain text in {stored_in}, where every client with read "
        "access to it can read them (plain_secrets); env.secret_refs avoids that"
    )


def _registry(spec: AnySpec, runner: str) -> list[Problem]:
    place = spec.place
    where = f"--env {spec.environment}"
    if place.registry is None:
        hint = "add `registry: ‹name›.azurecr.io` to it in environments.yaml"
        return [Problem(where, f"{runner} pulls from a registry, and it has none", hint)]
    server = place.registry.partition("/")[0]
    suffix = clouds.resolve_cloud(place.cloud).registry_suffix
    if not server.endswith(suffix) and place.registry_login != "azure":
        what = f"{runner} pulls with its identity, from Azure's registries only; {server} is none"
        return [Problem(where, what, f"name a registry that ends in {suffix}")]
    return []


def _image(spec: Spec, runner: str) -> list[Problem]:
    platform = spec.flow.image.platform
    if platform == PLATFORM:
        return []
    what = f"{runner} runs {PLATFORM} only, and image.platform is {platform}"
    return [Problem(spec.name, what, f"set image.platform: {PLATFORM} in deploy.yaml")]


def _variables(spec: Spec, variables: Mapping[str, str]) -> list[Problem]:
    # A container in Azure always has an identity.
    available = {**variables, IDENTITY_VARIABLES[0]: "its own"}
    missing = [f"set {name} (env.secret)" for name in spec.missing]
    missing += resolve(spec.flow.connections, available).problems
    if not missing:
        return []
    return [Problem(spec.name, "; ".join(missing), "in .env (see .env.example)")]
