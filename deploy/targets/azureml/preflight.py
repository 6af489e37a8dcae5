"""What can be known to be wrong before anything is built or asked."""

from __future__ import annotations

from deploy import cloud
from deploy.errors import DeployError, Problem
from deploy.model import Spec
from deploy.runtime.connections import IDENTITY_SIGNS, resolve
from deploy.targets.azureml import sizes, wanted
from deploy.targets.azureml.settings import INSTANCE_TYPE, settings_of

PLATFORM = "linux/amd64"


def check(spec: Spec) -> None:
    """Raise `DeployError` with every reason why `spec` cannot work."""
    problems = [*_registry(spec), *_image(spec), *_size(spec), *_variables(spec), *_secrets(spec)]
    if problems:
        raise DeployError.of(problems)


def _registry(spec: Spec) -> list[Problem]:
    place = spec.place
    where = f"--env {spec.environment}"
    if place.registry is None:
        hint = "add `registry: ‹name›.azurecr.io` to it in environments.yaml"
        return [
            Problem(where, "a managed online endpoint pulls from a registry; it has none", hint)
        ]
    server = place.registry.partition("/")[0]
    suffix = cloud.chosen(place.cloud).registry_suffix
    if not server.endswith(suffix) and place.registry_login != "azure":
        what = f"a managed online endpoint pulls from Azure's registries only; {server} is none"
        return [Problem(where, what, f"name a registry that ends in {suffix}")]
    return []


def _image(spec: Spec) -> list[Problem]:
    given = spec.flow.image.platform
    if given == PLATFORM:
        return []
    what = f"managed online endpoints run {PLATFORM} only, and image.platform is {given}"
    return [Problem(spec.name, what, f"set image.platform: {PLATFORM} in deploy.yaml")]


def _size(spec: Spec) -> list[Problem]:
    settings = settings_of(spec)
    day = sizes.retires(settings.instance_type)
    if day is None or settings.allow_retiring:
        return []
    what = f"Azure retires {settings.instance_type} on {day}"
    hint = f"instance_type: {INSTANCE_TYPE}; or `allow_retiring: true` until then"
    return [Problem(spec.name, what, hint)]


def _variables(spec: Spec) -> list[Problem]:
    # An endpoint always has an identity.
    there = {**wanted.variables_of(spec), IDENTITY_SIGNS[0]: "an endpoint's"}
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
        f"{', '.join(plain)} would be stored as plain text in the deployment, for whoever may read "
        "it"
    )
    hint = (
        "name a workspace connection or a vault under env.secret_refs, let the connection use an "
        "identity where its type can, or accept it with `plain_secrets: true`"
    )
    return [Problem(spec.name, what, hint)]
