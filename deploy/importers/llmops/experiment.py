"""The template's newer form: experiment.yaml with an overlay for each environment.

`llmops_config.yaml`, which some copies have, contains the same in one file, with the deployments.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploy.core.errors import DeployError
from deploy.importers.llmops import unsupported
from deploy.importers.llmops.configs import (
    JOIN_FILES_HINT,
    ONE_DATA_FILE,
    choose_environment,
    list_endpoints,
)
from deploy.importers.llmops.entities import (
    Dataset,
    DeclaredConnection,
    Endpoint,
    Evaluator,
    Note,
    UseCase,
    Workspace,
)
from deploy.importers.llmops.python_code import CONNECTION_TYPE_BY_CLASS
from deploy.importers.llmops.source import Source, read_source

OVERLAY_PATTERN = "experiment[._]*.yaml"
# "The experiment.yaml file": these blocks of an overlay replace those of the base.
_BLOCKS = ("datasets", "evaluators")
_KNOWN = ("flow", "connections", *_BLOCKS)


def load_folder(root: Path, folder: Path, base: Source) -> UseCase:
    """Return the use case of an experiment.yaml, its overlays and the deployment configuration."""
    overlays: dict[str, Source] = {}
    for path in sorted(folder.glob(OVERLAY_PATTERN)):
        overlays.setdefault(path.stem[len("experiment.") :], read_source(root, path))
    endpoints: list[Endpoint] = []
    for place in (folder / sub / "deployment_config.json" for sub in ("configs", "config")):
        if place.is_file():
            endpoints += list_endpoints(read_source(root, place))
    for overlay in overlays.values():
        endpoints += list_endpoints(overlay.get_source("deployment_configs"))
    inner = {
        name: overlay.get_source("experiment_config") or overlay
        for name, overlay in overlays.items()
    }
    names = [*dict.fromkeys([*(entry.environment for entry in endpoints), *overlays])]
    places = [Workspace(name, base.where()) for name in names]
    unsupported_notes = unsupported.find_unsupported_keys(base, _KNOWN)
    for entry in inner.values():
        unsupported_notes += unsupported.find_unsupported_keys(
            entry, (*_KNOWN, "deployment_configs")
        )
    return _use_case(root, folder, base, inner, tuple(endpoints), places, base, unsupported_notes)


def load_file(root: Path, folder: Path, whole: Source) -> UseCase:
    """Return the use case of an llmops_config.yaml."""
    base = whole.get_source("experiment")
    if base is None:
        raise DeployError(whole.where(), "the key experiment is missing", "add it there")
    environments = {
        entry.get_text("env_name") or str(entry.key_path[-1]): entry
        for entry in whole.list_sources("environments")
    }
    azure = whole.get_source("azure_config")
    keys = ("subscription_id", "resource_group_name", "workspace_name")
    location = [azure.get_text(key) if azure else "" for key in keys]
    where = (azure or whole).where()
    endpoints = tuple(
        endpoint
        for entry in environments.values()
        for endpoint in list_endpoints(entry.get_source("deployment_configs"))
    )
    overlays = {
        name: overlay
        for name, entry in environments.items()
        if (overlay := entry.get_source("experiment")) is not None
    }
    unsupported_notes = [
        *unsupported.find_unsupported_keys(base, _KNOWN),
        *(unsupported.find_unsupported_keys(azure, keys) if azure else ()),
    ]
    places = [Workspace(name, where, *location) for name in environments]
    return _use_case(root, folder, base, overlays, endpoints, places, whole, unsupported_notes)


def _use_case(
    root: Path,
    folder: Path,
    base: Source,
    overlays: Mapping[str, Source],
    endpoints: tuple[Endpoint, ...],
    workspaces: list[Workspace],
    connection_source: Source,
    unsupported_notes: list[Note],
) -> UseCase:
    name = choose_environment([place.environment for place in workspaces])
    overlay = overlays.get(name)
    # A block in an overlay replaces the base's even if it is empty.
    overridden = [block for block in _BLOCKS if overlay and block in overlay.value]
    source = {block: (overlay if overlay and block in overridden else base) for block in _BLOCKS}
    unsupported_notes = list(unsupported_notes)
    for other, entry in overlays.items():
        for block in _BLOCKS if other != name else ():
            if entry.has(block):
                what = f"{block} of {other}; those of {name or 'the base'} are imported"
                unsupported_notes.append(
                    Note(entry.where(block), what, "copy them, if you need them")
                )
    runs = {
        entry.require_text("name"): _dataset(entry)
        for entry in source["datasets"].list_sources("datasets")
    }
    evaluators: list[Evaluator] = []
    for entry in source["evaluators"].list_sources("evaluators"):
        evaluators += _evaluator(entry, runs, unsupported_notes)
    flow = base.get_text("flow") or base.require_text("name")
    return UseCase(
        root=root,
        folder=folder,
        flow=flow,
        flow_where=base.where("flow" if base.has("flow") else "name"),
        datasets=tuple(runs.values()),
        evaluators=tuple(evaluators),
        endpoints=endpoints,
        workspaces=tuple(workspaces),
        connections=tuple(
            DeclaredConnection(
                entry.get_text("name") or entry.require_text("connection"),
                CONNECTION_TYPE_BY_CLASS.get(entry.get_text("connection_type"))
                # llmops_config.yaml has no types: it describes connections to Azure OpenAI.
                or ("azure_open_ai" if entry.get_text("api_type") == "azure" else None),
                entry,
            )
            for entry in connection_source.list_sources("connections")
            if entry.has("connection_type") or entry.has("connection") or entry.has("api_key")
        ),
        unsupported=tuple(unsupported_notes),
    )


def _dataset(entry: Source) -> Dataset:
    return Dataset(
        entry.require_text("source"), entry.where("source"), entry.get_mapping("mappings")
    )


def _evaluator(
    entry: Source, runs: Mapping[str, Dataset], unsupported_notes: list[Note]
) -> list[Evaluator]:
    """Return the evaluator with its first dataset; note its other datasets as unsupported."""
    flow = entry.get_text("flow") or entry.require_text("name")
    where = entry.where("flow" if entry.has("flow") else "name")
    datasets = entry.list_sources("datasets")
    unsupported_notes += [
        Note(other.where(), ONE_DATA_FILE, JOIN_FILES_HINT) for other in datasets[1:]
    ]
    if not datasets:
        return [Evaluator(flow, where, {}, None, None)]
    data = datasets[0]
    run = runs.get(data.get_text("reference") or data.require_text("name"))
    if run is None:
        key = "reference" if data.has("reference") else "name"
        what = f"there is no dataset {data.get_text(key)}"
        raise DeployError(data.where(key), what, "name one of `datasets`")
    test = _dataset(data) if data.has("source") else run
    return [Evaluator(flow, where, data.get_mapping("mappings"), run, test)]
