"""What can be known to be wrong before anything is built or asked."""

from __future__ import annotations

from deploy.arm import preflight
from deploy.errors import DeployError, Problem
from deploy.model import Spec
from deploy.runtime import access as keys
from deploy.targets.appservice import naming, wanted
from deploy.targets.appservice.settings import place_of, settings_of


def check(spec: Spec) -> None:
    """Raise `DeployError` with every reason why `spec` cannot work."""
    problems = [
        *_name(spec),
        *preflight.problems(spec, "a site", wanted.variables_of(spec)),
        *_auth(spec),
        *_secrets(spec),
    ]
    if problems:
        raise DeployError.of(problems)


def _name(spec: Spec) -> list[Problem]:
    if naming.app_of(spec):
        return []
    hint = "add `app: ‹name›` to deploy.yaml, or `app: ‹pattern with {flow}›` to environments.yaml"
    return [Problem(spec.name, "no site is named", hint)]


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
