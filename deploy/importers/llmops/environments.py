"""Convert the template's endpoints to environments: deploy.yaml and environments.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from deploy.config import secret_patterns
from deploy.config.configuration import RESERVED_VARIABLES, SECRET_NAME
from deploy.importers.llmops import unsupported
from deploy.importers.llmops.entities import Endpoint, Note, UseCase, Workspace
from deploy.importers.llmops.source import Source
from deploy.server.connections import is_variable_name
from deploy.targets.appservice.settings import NAME_PATTERN as SITE
from deploy.targets.azureml.settings import NAME_PATTERN as ENDPOINT
from deploy.targets.azureml.vm_sizes import retirement_date

MANAGED_ENDPOINT = "azure_managed_endpoint"
WEBAPP_ENDPOINT = "webapp_endpoint"
# Keys of which one must be filled in: the template itself contains an empty entry of each kind.
_IDENTIFYING_KEYS = {
    MANAGED_ENDPOINT: ("ENDPOINT_NAME",),
    WEBAPP_ENDPOINT: ("WEB_APP_NAME",),
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
# This project's environment on the local machine.
LOCAL = "local"
# "Registry names": letters and digits.
_REGISTRY = re.compile(r"[a-zA-Z0-9]{5,50}(\.azurecr\.io)?")
_PLACE_VALUE = re.compile(r"[\w.()-]+|\$\{[A-Z][A-Z0-9_]*\}")


@dataclass(frozen=True)
class Environment:
    """An environment to import."""

    name: str
    # For deploy.yaml.
    settings: dict[str, Any]
    # For environments.yaml.
    place: dict[str, str]
    where: str


def list_environments(
    use_case: UseCase, assumptions: list[Note], unsupported_notes: list[Note]
) -> list[Environment]:
    """Return the environments to which `use_case` is deployed; note what is unsupported."""
    environments = []
    names = [place.environment for place in use_case.workspaces]
    for name in dict.fromkeys([*names, *(endpoint.environment for endpoint in use_case.endpoints)]):
        endpoints = [endpoint for endpoint in use_case.endpoints if endpoint.environment == name]
        workspace = next((w for w in use_case.workspaces if w.environment == name), None)
        workspace = workspace or Workspace(name, endpoints[0].source.where())
        if name == LOCAL and endpoints:
            what = "local is this machine's engine here"
            unsupported_notes.append(
                Note(workspace.where, what, "give their environment another name")
            )
        elif endpoint := _choose_endpoint(endpoints, unsupported_notes):
            environments.append(_environment(endpoint, workspace, assumptions, unsupported_notes))
        elif not endpoints:
            what = f"nothing is deployed to {name}, so it is no environment here"
            unsupported_notes.append(Note(workspace.where, what, unsupported.NO_ACTION))
    return environments


def _choose_endpoint(endpoints: list[Endpoint], unsupported_notes: list[Note]) -> Endpoint | None:
    """Return the endpoint of one environment to import: the first that is filled in."""
    filled = [
        endpoint
        for endpoint in endpoints
        if any(endpoint.source.has(key) for key in _IDENTIFYING_KEYS[endpoint.kind])
    ]
    if not filled:
        # The template's initial state, in which no entry is filled in.
        return next(
            (
                endpoint
                for endpoint in endpoints
                if endpoint.kind in (MANAGED_ENDPOINT, WEBAPP_ENDPOINT)
            ),
            None,
        )
    supported = [
        endpoint for endpoint in filled if endpoint.kind in (MANAGED_ENDPOINT, WEBAPP_ENDPOINT)
    ]
    for endpoint in filled:
        if endpoint.kind not in (MANAGED_ENDPOINT, WEBAPP_ENDPOINT):
            then = "write a target of your own (docs/extending.md), or take azureml or appservice"
            unsupported_notes.append(
                Note(endpoint.source.where(), "there is no target for Kubernetes here", then)
            )
        elif endpoint is not supported[0]:
            what = (
                f"{endpoint.environment} has {supported[0].kind} already: an environment has one "
                "target"
            )
            then = "add an environment of another name for it"
            unsupported_notes.append(Note(endpoint.source.where(), what, then))
    return supported[0] if supported else None


def _environment(
    endpoint: Endpoint, workspace: Workspace, assumptions: list[Note], unsupported_notes: list[Note]
) -> Environment:
    source = endpoint.source
    group = workspace.resource_group
    place = {
        "subscription": _choose_place_value(workspace.subscription, "${AZURE_SUBSCRIPTION_ID}")
    }
    if endpoint.kind == WEBAPP_ENDPOINT:
        group = source.get_text("WEB_APP_RG_NAME") or group
        settings: dict[str, Any] = {"target": "appservice", "auth": "key"}
        what = "the template lets everybody in; `auth: key` is written"
        then = "choose key, entra or public (docs/targets/appservice.md#who-is-let-in)"
        assumptions.append(Note(source.where(), what, then))
        _name(source, "WEB_APP_NAME", SITE, "app", settings, unsupported_notes)
        unsupported_notes += unsupported.find_unsupported_keys(source, _WEBAPP)
    else:
        settings = {"target": "azureml"}
        _managed(source, settings, assumptions, unsupported_notes)
        unsupported_notes += unsupported.find_unsupported_keys(source, _AZUREML)
    env = _variables(source, unsupported_notes)
    if env:
        settings["env"] = env
    prefix = re.sub(r"[^A-Z0-9]+", "_", endpoint.environment.upper()).strip("_") or "ENV"
    prefix = prefix if prefix[0].isalpha() else f"ENV_{prefix}"
    place["resource_group"] = _choose_place_value(group, f"${{{prefix}_RESOURCE_GROUP}}")
    place["registry"] = _registry(source, f"${{{prefix}_ACR_NAME}}.azurecr.io", unsupported_notes)
    if endpoint.kind == WEBAPP_ENDPOINT:
        place["key_vault"] = f"https://${{{prefix}_KEY_VAULT}}.vault.azure.net"
    else:
        place["workspace"] = _choose_place_value(workspace.workspace, f"${{{prefix}_WORKSPACE}}")
    return Environment(endpoint.environment, settings, place, source.where())


def _managed(
    source: Source, settings: dict[str, Any], assumptions: list[Note], unsupported_notes: list[Note]
) -> None:
    _name(source, "ENDPOINT_NAME", ENDPOINT, "endpoint", settings, unsupported_notes)
    size = source.get_text("DEPLOYMENT_VM_SIZE")
    day = retirement_date(size)
    if day or (size and not re.fullmatch(r"Standard_\w+", size)):
        what = f"Azure retires this size on {day}" if day else "this is no size of Azure"
        then = "the default is taken; or write instance_type (docs/targets/azureml.md)"
        unsupported_notes.append(Note(source.where("DEPLOYMENT_VM_SIZE"), what, then))
    elif size:
        settings["instance_type"] = size
    count = _number(source, "DEPLOYMENT_INSTANCE_COUNT", unsupported_notes)
    if count is not None and 1 <= count <= 50:
        settings["instance_count"] = count
    percent = _number(source, "CURRENT_DEPLOYMENT_TRAFFIC_ALLOCATION", unsupported_notes)
    if percent is not None and 0 < percent < 100:
        # There is no permanent traffic split here: a rollout continues to 100 per cent.
        settings["rollout"] = [percent, 100]
        what = f"{percent} per cent is the first step of a rollout that ends in 100"
        then = "see `rollout` and `soak` (docs/targets/azureml.md)"
        assumptions.append(Note(source.where("CURRENT_DEPLOYMENT_TRAFFIC_ALLOCATION"), what, then))


def _name(
    source: Source,
    key: str,
    pattern: str,
    setting: str,
    settings: dict[str, Any],
    unsupported_notes: list[Note],
) -> None:
    name = source.get_text(key)
    if re.match(pattern, name):
        settings[setting] = name
    elif name:
        then = f"write `{setting}` into deploy.yaml, or leave it out"
        unsupported_notes.append(Note(source.where(key), "Azure takes no such name", then))


def _number(source: Source, key: str, unsupported_notes: list[Note]) -> int | None:
    text = source.get_text(key).rstrip(",").strip()
    if text and not re.fullmatch(r"\d{1,4}", text):
        unsupported_notes.append(
            Note(source.where(key), "this is no number", "write it into deploy.yaml")
        )
        return None
    return int(text) if text else None


def _choose_place_value(text: str, fallback: str) -> str:
    return text if _PLACE_VALUE.fullmatch(text) else fallback


def _registry(source: Source, fallback: str, unsupported_notes: list[Note]) -> str:
    name = source.get_text("REGISTRY_NAME")
    if name and not _REGISTRY.fullmatch(name):
        what = "this is no name of a registry of Azure"
        unsupported_notes.append(
            Note(source.where("REGISTRY_NAME"), what, "write `registry` into environments.yaml")
        )
    if not _REGISTRY.fullmatch(name):
        return fallback
    return f"{name.lower().removesuffix('.azurecr.io')}.azurecr.io"


def _variables(source: Source, unsupported_notes: list[Note]) -> dict[str, Any]:
    """Return the container's variables; for a secret only its name."""
    clear: dict[str, str] = {}
    secret: list[str] = []
    variables = source.get_source("ENVIRONMENT_VARIABLES")
    for name, value in (variables.value if variables else {}).items():
        where = source.where("ENVIRONMENT_VARIABLES", name)
        text = "" if value is None else str(value)
        if not is_variable_name(name):
            what = "a variable is named in capital letters here"
            unsupported_notes.append(
                Note(where, what, "write it under env.clear in another name, if it is used")
            )
        elif SECRET_NAME.search(name) or secret_patterns.recognise_secret(text):
            secret.append(name)
            what = "this may be a secret: its name is under env.secret, its value nowhere"
            unsupported_notes.append(
                Note(where, what, "put a new value into .env, or a reference under env.secret_refs")
            )
        elif name in RESERVED_VARIABLES:
            unsupported_notes.append(
                Note(where, "the image sets this itself", unsupported.NO_ACTION)
            )
        elif isinstance(value, (dict, list)):
            unsupported_notes.append(
                Note(where, "one value is expected", "write it under env.clear")
            )
        else:
            clear[name] = text
    env: dict[str, Any] = {"clear": clear} if clear else {}
    return {**env, **({"secret": secret} if secret else {})}
