"""Convert the template's endpoints to environments: deploy.yaml and environments.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from deploy.config import secret_patterns, target_registry
from deploy.config.endpoint_import import EndpointImport
from deploy.config.rules import RESERVED_VARIABLES, SECRET_NAME
from deploy.importers.llmops import unsupported
from deploy.importers.llmops.entities import Endpoint, Note, UseCase, Workspace
from deploy.importers.llmops.source import Source
from deploy.server.connections import is_variable_name

# Endpoints of the template for which there is no target, with the keys that identify one.
UNSUPPORTED_ENDPOINTS = {"kubernetes_endpoint": ("ENDPOINT_NAME", "COMPUTE_NAME")}
_COMMON_KEYS = ("TEST_FILE_PATH", "ENVIRONMENT_VARIABLES", "CONNECTION_NAMES")
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
            what = "the environment local is the Docker engine of this machine"
            unsupported_notes.append(
                Note(workspace.where, what, "give the template's environment another name")
            )
        elif endpoint := _choose_endpoint(endpoints, unsupported_notes):
            environments.append(_environment(endpoint, workspace, assumptions, unsupported_notes))
        elif not endpoints:
            what = f"nothing is deployed to {name}, so it is not imported"
            unsupported_notes.append(Note(workspace.where, what, unsupported.NO_ACTION))
    return environments


def find_endpoint_imports() -> dict[str, tuple[str, EndpointImport]]:
    """Return by type of endpoint the name of the target, and how its settings are converted."""
    imports = {}
    for name, target in target_registry.all_targets().items():
        endpoint_import = getattr(target, "llmops", None)
        if isinstance(endpoint_import, EndpointImport):
            imports[endpoint_import.endpoint] = (name, endpoint_import)
    return imports


def _choose_endpoint(endpoints: list[Endpoint], unsupported_notes: list[Note]) -> Endpoint | None:
    """Return the endpoint of one environment to import: the first that is filled in."""
    imports = find_endpoint_imports()
    keys = UNSUPPORTED_ENDPOINTS | {
        kind: (endpoint_import.identifying_key,) for kind, (_, endpoint_import) in imports.items()
    }
    # The template's initial state has an empty entry of each type.
    filled = [
        endpoint
        for endpoint in endpoints
        if any(endpoint.source.has(key) for key in keys[endpoint.kind])
    ]
    candidates = filled or endpoints
    supported = [endpoint for endpoint in candidates if endpoint.kind in imports]
    for endpoint in filled:
        if endpoint.kind not in imports:
            names = " or ".join(name for name, _ in imports.values())
            then = f"add a target (docs/extending.md), or use {names}"
            what = f"there is no target for {endpoint.kind}"
            unsupported_notes.append(Note(endpoint.source.where(), what, then))
        elif endpoint is not supported[0]:
            what = (
                f"{endpoint.environment} already has {supported[0].kind}: an environment has one "
                "target"
            )
            then = "add an environment with another name for it"
            unsupported_notes.append(Note(endpoint.source.where(), what, then))
    return supported[0] if supported else None


def _environment(
    endpoint: Endpoint, workspace: Workspace, assumptions: list[Note], unsupported_notes: list[Note]
) -> Environment:
    source = endpoint.source
    target, endpoint_import = find_endpoint_imports()[endpoint.kind]
    imported = endpoint_import.convert({key: source.get_text(key) for key in endpoint_import.keys})
    for item in imported.notes:
        where = source.where(item.key) if item.key else source.where()
        notes = assumptions if item.is_assumption else unsupported_notes
        notes.append(Note(where, item.what, item.then))
    unsupported_notes += unsupported.find_unsupported_keys(
        source, (*_COMMON_KEYS, *endpoint_import.keys)
    )
    settings = {"target": target, **imported.settings}
    env = _variables(source, unsupported_notes)
    if env:
        settings["env"] = env
    prefix = re.sub(r"[^A-Z0-9]+", "_", endpoint.environment.upper()).strip("_") or "ENV"
    prefix = prefix if prefix[0].isalpha() else f"ENV_{prefix}"
    group = workspace.resource_group
    if endpoint_import.resource_group_key:
        group = source.get_text(endpoint_import.resource_group_key) or group
    place = {
        "subscription": _choose_place_value(workspace.subscription, "${AZURE_SUBSCRIPTION_ID}"),
        "resource_group": _choose_place_value(group, f"${{{prefix}_RESOURCE_GROUP}}"),
        "registry": _registry(source, f"${{{prefix}_ACR_NAME}}.azurecr.io", unsupported_notes),
    }
    known = {"workspace": workspace.workspace}
    for key, fallback in endpoint_import.place.items():
        place[key] = _choose_place_value(known.get(key, ""), fallback.format(prefix=prefix))
    return Environment(endpoint.environment, settings, place, source.where())


def _choose_place_value(text: str, fallback: str) -> str:
    return text if _PLACE_VALUE.fullmatch(text) else fallback


def _registry(source: Source, fallback: str, unsupported_notes: list[Note]) -> str:
    name = source.get_text("REGISTRY_NAME")
    if name and not _REGISTRY.fullmatch(name):
        what = "this is not a valid name of an Azure registry"
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
            what = "names of variables are in capital letters"
            unsupported_notes.append(
                Note(where, what, "if it is used, write it under env.clear with another name")
            )
        elif SECRET_NAME.search(name) or secret_patterns.recognise_secret(text):
            secret.append(name)
            what = "this may be a secret: its name is under env.secret; its value is not imported"
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
