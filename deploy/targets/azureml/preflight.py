"""What can be known to be wrong before anything is built or asked."""

from __future__ import annotations

from deploy.arm import preflight
from deploy.errors import DeployError, Problem
from deploy.model import Spec
from deploy.targets.azureml import sizes, wanted
from deploy.targets.azureml.settings import INSTANCE_TYPE, settings_of


def check(spec: Spec) -> None:
    """Raise `DeployError` with every reason why `spec` cannot work."""
    variables = wanted.variables_of(spec)
    problems = [
        *preflight.problems(spec, "a managed online endpoint", variables),
        *_size(spec),
        *_secrets(spec),
    ]
    if problems:
        raise DeployError.of(problems)


def _size(spec: Spec) -> list[Problem]:
    settings = settings_of(spec)
    day = sizes.retires(settings.instance_type)
    if day is None or settings.allow_retiring:
        return []
    what = f"Azure retires {settings.instance_type} on {day}"
    hint = f"instance_type: {INSTANCE_TYPE}; or `allow_retiring: true` until then"
    return [Problem(spec.name, what, hint)]


def _secrets(spec: Spec) -> list[Problem]:
    plain = wanted.plain_secrets(spec)
    if not plain or settings_of(spec).plain_secrets:
        return []
    what = (
        f"{', '.join(plain)} would be stored as plain text in the deployment, for whoever may read "
        "it"
    )
    hint = (
        "name a workspace connection or a vault under env.secret_refs, let the connection use an "
        "identity where its type can, or accept it with `plain_secrets: true`"
    )
    return [Problem(spec.name, what, hint)]
