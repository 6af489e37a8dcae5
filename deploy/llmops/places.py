"""Their endpoints as environments: how in deploy.yaml, and where in environments.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from deploy.config import IMAGE_VARIABLES, SECRET_NAME
from deploy.gate import shapes
from deploy.llmops import leaving
from deploy.llmops.model import Endpoint, Note, UseCase, Workspace
from deploy.llmops.source import Source
from deploy.runtime.connections import is_variable
from deploy.targets.appservice.settings import NAME as SITE
from deploy.targets.azureml.settings import NAME as ENDPOINT
from deploy.targets.azureml.sizes import retires

AZUREML = "azure_managed_endpoint"
WEBAPP = "webapp_endpoint"
# What must be filled in for an entry to be somebody's: the template has one of each kind.
_FILLED = {
    AZUREML: ("ENDPOINT_NAME",),
    WEBAPP: ("WEB_APP_NAME",),
    "kubernetes_endpoint": ("ENDPOINT_NAME", "COMPUTE_NAME"),
}
_COMMON = ("TEST_FILE_PATH", "ENVIRONMENT_VARIABLES", "CONNECTION_NAMES")
_AZUREML = (
    *_COMMON,
    "ENDPOINT_NAME",
    "DEPLOYMENT_VM_SIZE",
    "DEPLOYMENT_INSTANCE_COUNT",
    "CURRENT_DEPLOYMENT_TRAFFIC_ALLOCATION",
)
_WEBAPP = (*_COMMON, "WEB_APP_NAME", "WEB_APP_RG_NAME", "REGISTRY_NAME")
# Ours, on this machine.
LOCAL = "local"
# "Registry names": letters and digits.
_REGISTRY = re.compile(r"[a-zA-Z0-9]{5,50}(\.azurecr\.io)?")
_WHERE = re.compile(r"[\w.()-]+|\$\{[A-Z][A-Z0-9_]*\}")


@dataclass(frozen=True)
class Environment:
    """One environment: `settings` for deploy.yaml, `place` for environments.yaml, from where."""

    name: str
    settings: dict[str, Any]
    place: dict[str, str]
    where: str


def of(use_case: UseCase, guessed: list[Note], left: list[Note]) -> list[Environment]:
    """Return the environments that `use_case` is deployed to; note what is not carried."""
    found = []
    named = [place.environment for place in use_case.workspaces]
    for name in dict.fromkeys([*named, *(one.environment for one in use_case.endpoints)]):
        here = [one for one in use_case.endpoints if one.environment == name]
        where = next((w for w in use_case.workspaces if w.environment == name), None)
        where = where or Workspace(name, here[0].source.where())
        if name == LOCAL and here:
            what = "local is this machine's engine here"
            left.append(Note(where.where, what, "give their environment another name"))
        elif one := _chosen(here, left):
            found.append(_environment(one, where, guessed, left))
        elif not here:
            what = f"nothing is deployed to {name}, so it is no environment here"
            left.append(Note(where.where, what, leaving.NOTHING))
    return found


def _chosen(here: list[Endpoint], left: list[Note]) -> Endpoint | None:
    """Return which of the entries for one environment counts: the first that is filled in."""
    filled = [one for one in here if any(one.source.has(key) for key in _FILLED[one.kind])]
    if not filled:
        # As the template comes: nobody has named anything yet.
        return next((one for one in here if one.kind in (AZUREML, WEBAPP)), None)
    can = [one for one in filled if one.kind in (AZUREML, WEBAPP)]
    for one in filled:
        if one.kind not in (AZUREML, WEBAPP):
            then = "write a target of your own (docs/extending.md), or take azureml or appservice"
            left.append(Note(one.source.where(), "there is no target for Kubernetes here", then))
        elif one is not can[0]:
            what = f"{one.environment} has {can[0].kind} already: an environment has one target"
            then = "add an environment of another name for it"
            left.append(Note(one.source.where(), what, then))
    return can[0] if can else None


def _environment(
    one: Endpoint, where: Workspace, guessed: list[Note], left: list[Note]
) -> Environment:
    source = one.source
    group = where.resource_group
    place = {"subscription": _place(where.subscription, "${AZURE_SUBSCRIPTION_ID}")}
    if one.kind == WEBAPP:
        group = source.text("WEB_APP_RG_NAME") or group
        settings: dict[str, Any] = {"target": "appservice", "auth": "key"}
        what = "the template lets everybody in; `auth: key` is written"
        then = "choose key, entra or public (docs/targets/appservice.md#who-is-let-in)"
        guessed.append(Note(source.where(), what, then))
        _name(source, "WEB_APP_NAME", SITE, "app", settings, left)
        left += leaving.keys(source, _WEBAPP)
    else:
        settings = {"target": "azureml"}
        _managed(source, settings, guessed, left)
        left += leaving.keys(source, _AZUREML)
    env = _variables(source, left)
    if env:
        settings["env"] = env
    short = re.sub(r"[^A-Z0-9]+", "_", one.environment.upper()).strip("_") or "ENV"
    short = short if short[0].isalpha() else f"ENV_{short}"
    place["resource_group"] = _place(group, f"${{{short}_RESOURCE_GROUP}}")
    place["registry"] = _registry(source, f"${{{short}_ACR_NAME}}.azurecr.io", left)
    if one.kind == WEBAPP:
        place["key_vault"] = f"https://${{{short}_KEY_VAULT}}.vault.azure.net"
    else:
        place["workspace"] = _place(where.workspace, f"${{{short}_WORKSPACE}}")
    return Environment(one.environment, settings, place, source.where())


def _managed(
    source: Source, settings: dict[str, Any], guessed: list[Note], left: list[Note]
) -> None:
    _name(source, "ENDPOINT_NAME", ENDPOINT, "endpoint", settings, left)
    size = source.text("DEPLOYMENT_VM_SIZE")
    day = retires(size)
    if day or (size and not re.fullmatch(r"Standard_\w+", size)):
        what = f"Azure retires this size on {day}" if day else "this is no size of Azure"
        then = "the default is taken; or write instance_type (docs/targets/azureml.md)"
        left.append(Note(source.where("DEPLOYMENT_VM_SIZE"), what, then))
    elif size:
        settings["instance_type"] = size
    count = _number(source, "DEPLOYMENT_INSTANCE_COUNT", left)
    if count is not None and 1 <= count <= 50:
        settings["instance_count"] = count
    percent = _number(source, "CURRENT_DEPLOYMENT_TRAFFIC_ALLOCATION", left)
    if percent is not None and 0 < percent < 100:
        # A share that stays is none of ours: a rollout goes on to 100.
        settings["rollout"] = [percent, 100]
        what = f"{percent} per cent is the first step of a rollout that ends in 100"
        then = "see `rollout` and `soak` (docs/targets/azureml.md)"
        guessed.append(Note(source.where("CURRENT_DEPLOYMENT_TRAFFIC_ALLOCATION"), what, then))


def _name(
    source: Source, key: str, pattern: str, ours: str, settings: dict[str, Any], left: list[Note]
) -> None:
    name = source.text(key)
    if re.match(pattern, name):
        settings[ours] = name
    elif name:
        then = f"write `{ours}` into deploy.yaml, or leave it out"
        left.append(Note(source.where(key), "Azure takes no such name", then))


def _number(source: Source, key: str, left: list[Note]) -> int | None:
    text = source.text(key).rstrip(",").strip()
    if text and not re.fullmatch(r"\d{1,4}", text):
        left.append(Note(source.where(key), "this is no number", "write it into deploy.yaml"))
        return None
    return int(text) if text else None


def _place(text: str, otherwise: str) -> str:
    return text if _WHERE.fullmatch(text) else otherwise


def _registry(source: Source, otherwise: str, left: list[Note]) -> str:
    name = source.text("REGISTRY_NAME")
    if name and not _REGISTRY.fullmatch(name):
        what = "this is no name of a registry of Azure"
        left.append(
            Note(source.where("REGISTRY_NAME"), what, "write `registry` into environments.yaml")
        )
    if not _REGISTRY.fullmatch(name):
        return otherwise
    return f"{name.lower().removesuffix('.azurecr.io')}.azurecr.io"


def _variables(source: Source, left: list[Note]) -> dict[str, Any]:
    """Return the variables of the container; of a secret its name alone."""
    clear: dict[str, str] = {}
    secret: list[str] = []
    given = source.inner("ENVIRONMENT_VARIABLES")
    for name, value in (given.value if given else {}).items():
        where = source.where("ENVIRONMENT_VARIABLES", name)
        text = "" if value is None else str(value)
        if not is_variable(name):
            what = "a variable is named in capital letters here"
            left.append(
                Note(where, what, "write it under env.clear in another name, if it is used")
            )
        elif SECRET_NAME.search(name) or shapes.recognise(text):
            secret.append(name)
            what = "this may be a secret: its name is under env.secret, its value nowhere"
            left.append(
                Note(where, what, "put a new value into .env, or a reference under env.secret_refs")
            )
        elif name in IMAGE_VARIABLES:
            left.append(Note(where, "the image sets this itself", leaving.NOTHING))
        elif isinstance(value, (dict, list)):
            left.append(Note(where, "one value is expected", "write it under env.clear"))
        else:
            clear[name] = text
    made: dict[str, Any] = {"clear": clear} if clear else {}
    return {**made, **({"secret": secret} if secret else {})}
