"""What can be known to be wrong before anything is built or asked."""

from __future__ import annotations

from deploy import cloud
from deploy.errors import DeployError, Problem
from deploy.model import Spec
from deploy.runtime import access as keys
from deploy.runtime.connections import IDENTITY_SIGNS, resolve
from deploy.targets.appservice import naming, wanted
from deploy.targets.appservice.settings import place_of, settings_of

PLATFORM = "linux/amd64"


def check(spec: Spec) -> None:
    """Raise `DeployError` with every reason why `spec` cannot work."""
    problems = [
        *_name(spec),
        *_registry(spec),
        *_image(spec),
        *_auth(spec),
        *_variables(spec),
        *_secrets(spec),
    ]
    if problems:
        raise DeployError.of(problems)


def _name(spec: Spec) -> list[Problem]:
    if naming.app_of(spec):
        return []
    hint = "add `app: ‹name›` to deploy.yaml, or `app: ‹pattern with {flow}›` to environments.yaml"
    return [Problem(spec.name, "no site is named", hint)]


def _registry(spec: Spec) -> list[Problem]:
    place = spec.place
    where = f"--env {spec.environment}"
    if place.registry is None:
        hint = "add `registry: ‹name›.azurecr.io` to it in environments.yaml"
        return [Problem(where, "a site pulls from a registry, and it has none", hint)]
    server = place.registry.partition("/")[0]
    suffix = cloud.chosen(place.cloud).registry_suffix
    if not server.endswith(suffix) and place.registry_login != "azure":
        what = f"a site pulls with its identity, from Azure's registries only; {server} is none"
        return [Problem(where, what, f"name a registry that ends in {suffix}")]
    return []


def _image(spec: Spec) -> list[Problem]:
    given = spec.flow.image.platform
    if given == PLATFORM:
        return []
    what = f"App Service runs {PLATFORM} only, and image.platform is {given}"
    return [Problem(spec.name, what, f"set image.platform: {PLATFORM} in deploy.yaml")]


def _auth(spec: Spec) -> list[Problem]:
    auth = settings_of(spec).auth
    where = f"--env {spec.environment}"
    if auth == "entra" and not place_of(spec).auth_client:
        what = "`auth: entra` needs an app registration that callers ask tokens for"
        return [Problem(where, what, "add its id as `auth_client` to environments.yaml")]
    if auth == "key" and keys.KEY not in wanted.variables_of(spec):
        what = "`auth: key` needs a vault that holds the key"
        hint = "add `key_vault: https://‹vault›.vault.azure.net` to environments.yaml"
        return [Problem(where, what, hint)]
    if auth != "key" and set(keys.NAMES) & set(wanted.variables_of(spec)):
        what = f"a key is among the variables, and `auth` is {auth}"
        return [Problem(spec.name, what, "write `auth: key`, or take the variable out")]
    return []


def _variables(spec: Spec) -> list[Problem]:
    # A site always has an identity.
    there = {**wanted.variables_of(spec), IDENTITY_SIGNS[0]: "a site's"}
    missing = [f"set {name} (env.secret)" for name in spec.missing]
    missing += resolve(spec.flow.connections, there).problems
    if not missing:
        return []
    return [Problem(spec.name, "; ".join(missing), "in .env (see .env.example)")]


def _secrets(spec: Spec) -> list[Problem]:
    plain = wanted.plain_secrets(spec)
    if not plain or settings_of(spec).plain_secrets:
        return []
    what = (
        f"{', '.join(plain)} would be stored as plain text in the application settings, for "
        "whoever may read them"
    )
    hint = (
        "name a secret of a vault under env.secret_refs, use `auth: managed_identity`, or accept "
        "it with `plain_secrets: true`"
    )
    return [Problem(spec.name, what, hint)]
