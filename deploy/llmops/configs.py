"""The older form: llmops_config.json, and configs/ with what is run, on what, and deployed where.

`configs/config.yaml`, which some copies have, is the same in one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from deploy.errors import DeployError
from deploy.llmops import leaving
from deploy.llmops.model import Dataset, Endpoint, Evaluator, Note, UseCase, Workspace
from deploy.llmops.source import Source, read

KINDS = ("azure_managed_endpoint", "webapp_endpoint", "kubernetes_endpoint")
# The environment of pull requests: nothing is deployed there.
PULL_REQUESTS = "pr"
TEST = "test_data"
AGAIN = "import it under another name, or leave it"
ONE_FILE = "an evaluation has one file of data"
JOIN = "join the files, if you need to"
_ENV = ("STANDARD_FLOW_PATH", "EVALUATION_FLOW_PATH")
_PLACE = ("SUBSCRIPTION_ID", "RESOURCE_GROUP_NAME", "WORKSPACE_NAME")
_DATA = ("DATA_PURPOSE", "DATA_PATH", "DATASET_NAME", "RELATED_EXP_DATASET")
_SAID = (*_DATA, "PROMPT_FLOW_CONFIG_NAME", "DATASET_DESC", "dataset")


def load(root: Path, folder: Path, settings: Source) -> UseCase:
    """Return the use case of llmops_config.json (or config.json) and of the files in configs/."""

    def other(name: str) -> Source | None:
        places = [folder / sub / name for sub in ("configs", "config")]
        return next((read(root, place) for place in places if place.is_file()), None)

    data = other("data_config.json")
    return _use_case(
        root,
        folder,
        settings,
        settings.each("envs"),
        data.each("datasets") if data else [],
        other("mapping_config.json"),
        endpoints(other("deployment_config.json")),
    )


def load_whole(root: Path, folder: Path, whole: Source) -> UseCase:
    """Return the use case of a configs/config.yaml."""
    data = whole.inner("datasets_config")
    return _use_case(
        root,
        folder,
        whole,
        whole.each("llmops_config"),
        [one for name in (data.value if data else ()) for one in data.each(name)] if data else [],
        whole.inner("mapping_config"),
        endpoints(whole.inner("deployment_configs")),
    )


def endpoints(source: Source | None) -> tuple[Endpoint, ...]:
    """Return what a deployment configuration, or None, says is deployed. Raises `DeployError`."""
    return tuple(
        Endpoint(kind, one.needed("ENV_NAME"), one)
        for kind in KINDS
        for one in (source.each(kind) if source else [])
    )


def chosen(names: list[str]) -> str:
    """Return the environment whose data and evaluations are taken: the first that deploys."""
    return next((name for name in names if name != PULL_REQUESTS), names[0] if names else "")


def _use_case(
    root: Path,
    folder: Path,
    settings: Source,
    envs: list[Source],
    data: list[Source],
    mapping: Source | None,
    deployed: tuple[Endpoint, ...],
) -> UseCase:
    if not envs:
        raise DeployError(settings.where(), "no environment is in it", "add one there")
    by_name = {env.needed("ENV_NAME"): env for env in envs}
    name = chosen(list(by_name))
    env = by_name[name]
    left = [note for one in envs for note in leaving.keys(one, (*_ENV, *_PLACE))]
    left += [
        Note(one.where("STANDARD_FLOW_PATH"), f"it is another flow than that of {name}", AGAIN)
        for one in envs
        if one.text("STANDARD_FLOW_PATH") not in ("", env.text("STANDARD_FLOW_PATH"))
    ]
    runs, tests = _datasets(data, name, mapping, left)
    evaluators = _evaluators(env, mapping, runs, tests)
    return UseCase(
        root=root,
        folder=folder,
        flow=env.needed("STANDARD_FLOW_PATH"),
        flow_where=env.where("STANDARD_FLOW_PATH"),
        datasets=tuple(runs.values()),
        evaluators=tuple(evaluators),
        endpoints=deployed,
        workspaces=tuple(
            Workspace(one.needed("ENV_NAME"), one.where(), *[one.text(key) for key in _PLACE])
            for one in envs
        ),
        declared=(),
        left=tuple(left),
    )


def _datasets(
    data: list[Source], environment: str, mapping: Source | None, left: list[Note]
) -> tuple[dict[str, Dataset], list[tuple[Dataset, str]]]:
    """Return the data of runs by name, and those of evaluations each with that of its run."""
    mappings = mapping.mapping("experiment") if mapping else {}
    runs: dict[str, Dataset] = {}
    tests: list[tuple[Dataset, str]] = []
    for one in data:
        if one.needed("ENV_NAME") != environment:
            where = one.where("DATA_PATH")
            what = f"data of {one.text('ENV_NAME')}; those of {environment} are taken"
            left.append(Note(where, what, "copy it, if you need it"))
            continue
        dataset = Dataset(one.needed("DATA_PATH"), one.where("DATA_PATH"), mappings)
        left += leaving.keys(one, _SAID)
        # Older copies do not say of which run, and have one.
        if one.has("RELATED_EXP_DATASET") or one.text("DATA_PURPOSE") == TEST:
            tests.append((dataset, one.text("RELATED_EXP_DATASET")))
        else:
            runs[one.needed("DATASET_NAME")] = dataset
    left += [Note(test.where, ONE_FILE, JOIN) for test, _ in tests[1:]]
    return runs, tests


def _evaluators(
    env: Source,
    mapping: Source | None,
    runs: dict[str, Dataset],
    tests: list[tuple[Dataset, str]],
) -> list[Evaluator]:
    mappings = mapping.inner("evaluation") if mapping else None
    test, related = tests[0] if tests else (None, "")
    run = runs.get(related) if related else next(iter(runs.values()), None)
    return [
        Evaluator(
            path,
            env.where("EVALUATION_FLOW_PATH"),
            _of(mappings, PurePosixPath(path).name),
            run,
            test,
        )
        for path in (part.strip() for part in env.text("EVALUATION_FLOW_PATH").split(","))
        if path
    ]


def _of(mappings: Source | None, name: str) -> Mapping[str, Any]:
    """Return the mappings of the evaluation flow `name`; in older copies all have the same."""
    if mappings is None:
        return {}
    same = all(isinstance(value, str) for value in mappings.value.values())
    return mappings.value if same else mappings.mapping(name)
