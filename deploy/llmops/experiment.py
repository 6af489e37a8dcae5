"""The newer form: experiment.yaml with an overlay for each environment.

`llmops_config.yaml`, which some copies have, is the same in one file, with the deployments.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploy.errors import DeployError
from deploy.llmops import leaving
from deploy.llmops.code import OF_CLASS
from deploy.llmops.configs import JOIN, ONE_FILE, chosen, endpoints
from deploy.llmops.model import Dataset, Declared, Endpoint, Evaluator, Note, UseCase, Workspace
from deploy.llmops.source import Source, read

OVERLAYS = "experiment[._]*.yaml"
# "The experiment.yaml file": these blocks of an overlay take the place of the base's.
_BLOCKS = ("datasets", "evaluators")
_KNOWN = ("flow", "connections", *_BLOCKS)


def load(root: Path, folder: Path, base: Source) -> UseCase:
    """Return the use case of an experiment.yaml, its overlays, and the deployment configuration."""
    overlays: dict[str, Source] = {}
    for path in sorted(folder.glob(OVERLAYS)):
        overlays.setdefault(path.stem[len("experiment.") :], read(root, path))
    deployed: list[Endpoint] = []
    for place in (folder / sub / "deployment_config.json" for sub in ("configs", "config")):
        if place.is_file():
            deployed += endpoints(read(root, place))
    for overlay in overlays.values():
        deployed += endpoints(overlay.inner("deployment_configs"))
    inner = {
        name: overlay.inner("experiment_config") or overlay for name, overlay in overlays.items()
    }
    names = [*dict.fromkeys([*(one.environment for one in deployed), *overlays])]
    places = [Workspace(name, base.where()) for name in names]
    left = leaving.keys(base, _KNOWN)
    for one in inner.values():
        left += leaving.keys(one, (*_KNOWN, "deployment_configs"))
    return _use_case(root, folder, base, inner, tuple(deployed), places, base, left)


def load_whole(root: Path, folder: Path, whole: Source) -> UseCase:
    """Return the use case of an llmops_config.yaml."""
    base = whole.inner("experiment")
    if base is None:
        raise DeployError(whole.where(), "the key experiment is missing", "add it there")
    environments = {
        one.text("env_name") or str(one.at[-1]): one for one in whole.each("environments")
    }
    azure = whole.inner("azure_config")
    keys = ("subscription_id", "resource_group_name", "workspace_name")
    said = [azure.text(key) if azure else "" for key in keys]
    where = (azure or whole).where()
    deployed = tuple(
        found
        for one in environments.values()
        for found in endpoints(one.inner("deployment_configs"))
    )
    overlays = {
        name: overlay
        for name, one in environments.items()
        if (overlay := one.inner("experiment")) is not None
    }
    left = [*leaving.keys(base, _KNOWN), *(leaving.keys(azure, keys) if azure else ())]
    places = [Workspace(name, where, *said) for name in environments]
    return _use_case(root, folder, base, overlays, deployed, places, whole, left)


def _use_case(
    root: Path,
    folder: Path,
    base: Source,
    overlays: Mapping[str, Source],
    deployed: tuple[Endpoint, ...],
    workspaces: list[Workspace],
    connected: Source,
    left: list[Note],
) -> UseCase:
    name = chosen([place.environment for place in workspaces])
    overlay = overlays.get(name)
    # Only the blocks that are named in an overlay, even without a value, count.
    own = [block for block in _BLOCKS if overlay and block in overlay.value]
    source = {block: (overlay if overlay and block in own else base) for block in _BLOCKS}
    left = list(left)
    for other, one in overlays.items():
        for block in _BLOCKS if other != name else ():
            if one.has(block):
                what = f"{block} of {other}; those of {name or 'the base'} are taken"
                left.append(Note(one.where(block), what, "copy them, if you need them"))
    runs = {one.needed("name"): _dataset(one) for one in source["datasets"].each("datasets")}
    evaluators: list[Evaluator] = []
    for one in source["evaluators"].each("evaluators"):
        evaluators += _evaluator(one, runs, left)
    flow = base.text("flow") or base.needed("name")
    return UseCase(
        root=root,
        folder=folder,
        flow=flow,
        flow_where=base.where("flow" if base.has("flow") else "name"),
        datasets=tuple(runs.values()),
        evaluators=tuple(evaluators),
        endpoints=deployed,
        workspaces=tuple(workspaces),
        declared=tuple(
            Declared(
                one.text("name") or one.needed("connection"),
                OF_CLASS.get(one.text("connection_type"))
                # llmops_config.yaml has no types; what it describes is Azure OpenAI.
                or ("azure_open_ai" if one.text("api_type") == "azure" else None),
                one,
            )
            for one in connected.each("connections")
            if one.has("connection_type") or one.has("connection") or one.has("api_key")
        ),
        left=tuple(left),
    )


def _dataset(one: Source) -> Dataset:
    return Dataset(one.needed("source"), one.where("source"), one.mapping("mappings"))


def _evaluator(one: Source, runs: Mapping[str, Dataset], left: list[Note]) -> list[Evaluator]:
    """Return the evaluator with its first data; what it has beside those is left."""
    flow = one.text("flow") or one.needed("name")
    where = one.where("flow" if one.has("flow") else "name")
    found = one.each("datasets")
    left += [Note(other.where(), ONE_FILE, JOIN) for other in found[1:]]
    if not found:
        return [Evaluator(flow, where, {}, None, None)]
    data = found[0]
    run = runs.get(data.text("reference") or data.needed("name"))
    if run is None:
        key = "reference" if data.has("reference") else "name"
        what = f"there is no dataset {data.text(key)}"
        raise DeployError(data.where(key), what, "name one of `datasets`")
    test = _dataset(data) if data.has("source") else run
    return [Evaluator(flow, where, data.mapping("mappings"), run, test)]
