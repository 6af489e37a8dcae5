"""What can be known to be wrong before anything is built or asked."""

from __future__ import annotations

from deploy.arm import preflight
from deploy.errors import DeployError, Problem
from deploy.model import Spec
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
    return preflight.key(spec, wanted.variables_of(spec))


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
