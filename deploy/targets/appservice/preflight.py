"""Checks of a spec that need neither a build nor a request."""

from __future__ import annotations

from deploy.azure import preflight
from deploy.core.entities import Spec
from deploy.core.errors import DeployError, Problem
from deploy.targets.appservice import desired, naming
from deploy.targets.appservice.settings import place_of, settings_of


def check(spec: Spec) -> None:
    """Raise `DeployError` with all problems of `spec`."""
    problems = [
        *_check_app_name(spec),
        *preflight.find_problems(spec, "a site", desired.environment_variables(spec)),
        *_check_auth(spec),
        *_check_plain_secrets(spec),
    ]
    if problems:
        raise DeployError.from_problems(problems)


def _check_app_name(spec: Spec) -> list[Problem]:
    if naming.app_name(spec):
        return []
    hint = "add `app: ‹name›` to deploy.yaml, or `app: ‹pattern with {flow}›` to environments.yaml"
    return [Problem(spec.name, "no site is named", hint)]


def _check_auth(spec: Spec) -> list[Problem]:
    auth = settings_of(spec).auth
    location = f"--env {spec.environment}"
    if auth == "entra" and not place_of(spec).auth_client:
        message = "`auth: entra` needs an app registration that callers ask tokens for"
        return [Problem(location, message, "add its id as `auth_client` to environments.yaml")]
    return preflight.find_key_problems(spec, desired.environment_variables(spec))


def _check_plain_secrets(spec: Spec) -> list[Problem]:
    plain = desired.list_plain_secrets(spec)
    if not plain or settings_of(spec).plain_secrets:
        return []
    message = (
        f"{', '.join(plain)} would be stored as plain text in the application settings, for "
        "whoever may read them"
    )
    hint = (
        "name a secret of a vault under env.secret_refs, use `auth: managed_identity`, or accept "
        "it with `plain_secrets: true`"
    )
    return [Problem(spec.name, message, hint)]
