"""Checks of a spec that need neither a build nor a request."""

from __future__ import annotations

from deploy.azure import preflight
from deploy.core.entities import Spec
from deploy.core.errors import DeployError, Problem
from deploy.targets.azureml import desired, vm_sizes
from deploy.targets.azureml.settings import DEFAULT_INSTANCE_TYPE, settings_of


def check(spec: Spec) -> None:
    """Raise `DeployError` with all problems of `spec`."""
    variables = desired.environment_variables(spec)
    problems = [
        *preflight.find_problems(spec, "a managed online endpoint", variables),
        *_check_vm_size(spec),
        *_check_plain_secrets(spec),
    ]
    if problems:
        raise DeployError.from_problems(problems)


def _check_vm_size(spec: Spec) -> list[Problem]:
    settings = settings_of(spec)
    retirement = vm_sizes.retirement_date(settings.instance_type)
    if retirement is None or settings.allow_retiring:
        return []
    message = f"Azure retires {settings.instance_type} on {retirement}"
    hint = f"instance_type: {DEFAULT_INSTANCE_TYPE}; or `allow_retiring: true` until then"
    return [Problem(spec.name, message, hint)]


def _check_plain_secrets(spec: Spec) -> list[Problem]:
    plain = desired.list_plain_secrets(spec)
    if not plain or settings_of(spec).plain_secrets:
        return []
    message = (
        f"{', '.join(plain)} would be stored as plain text in the deployment, for whoever may read "
        "it"
    )
    hint = (
        "name a workspace connection or a vault under env.secret_refs, let the connection use an "
        "identity where its type can, or accept it with `plain_secrets: true`"
    )
    return [Problem(spec.name, message, hint)]
