"""The template's older form: llmops_config.json, with data, mappings and deployments in configs/.

`configs/config.yaml`, which some copies have, contains the same in one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from deploy.core.errors import DeployError
from deploy.importers.llmops import environments, unsupported
from deploy.importers.llmops.entities import Dataset, Endpoint, Evaluator, Note, UseCase, Workspace
from deploy.importers.llmops.source import Source, read_source

# The template's environment for pull requests, to which nothing is deployed.
PULL_REQUEST_ENVIRONMENT = "pr"
TEST_DATA_PURPOSE = "test_data"
IMPORT_AGAIN_HINT = "import it under another name, or leave it"
ONE_DATA_FILE = "an evaluation has one data file"
JOIN_FILES_HINT = "join the files, if you need to"
_ENVIRONMENT_KEYS = ("STANDARD_FLOW_PATH", "EVALUATION_FLOW_PATH")
_WORKSPACE_KEYS = ("SUBSCRIPTION_ID", "RESOURCE_GROUP_NAME", "WORKSPACE_NAME")
_DATA = ("DATA_PURPOSE", "DATA_PATH", "DATASET_NAME", "RELATED_EXP_DATASET")
_KNOWN_DATASET_KEYS = (*_DATA, "PROMPT_FLOW_CONFIG_NAME", "DATASET_DESC", "dataset")


def load_folder(root: Path, folder: Path, settings: Source) -> UseCase:
    """Return the use case of llmops_config.json (or config.json) and of the files in configs/."""

    def other(name: str) -> Source | None:
        places = [folder / sub / name for sub in ("configs", "config")]
        return next((read_source(root, place) for place in places if place.is_file()), None)

    data = other("data_config.json")
    return _use_case(
        root,
        folder,
        settings,
        settings.list_sources("envs"),
        data.list_sources("datasets") if data else [],
        other("mapping_config.json"),
        list_endpoints(other("deployment_config.json")),
    )


def load_file(root: Path, folder: Path, whole: Source) -> UseCase:
    """Return the use case of a configs/config.yaml."""
    data = whole.get_source("datasets_config")
    return _use_case(
        root,
        folder,
        whole,
        whole.list_sources("llmops_config"),
        [entry for name in (data.value if data else ()) for entry in data.list_sources(name)]
        if data
        else [],
        whole.get_source("mapping_config"),
        list_endpoints(whole.get_source("deployment_configs")),
    )


def list_endpoints(source: Source | None) -> tuple[Endpoint, ...]:
    """Return the endpoints in a deployment configuration. Raise `DeployError` if it is invalid."""
    return tuple(
        Endpoint(kind, entry.require_text("ENV_NAME"), entry)
        for kind in (*environments.find_endpoint_imports(), *environments.UNSUPPORTED_ENDPOINTS)
        for entry in (source.list_sources(kind) if source else [])
    )


def choose_environment(names: list[str]) -> str:
    """Return the environment whose data and evaluations are imported: the first that deploys."""
    return next(
        (name for name in names if name != PULL_REQUEST_ENVIRONMENT), names[0] if names else ""
    )


def _use_case(
    root: Path,
    folder: Path,
    settings: Source,
    envs: list[Source],
    data: list[Source],
    mapping: Source | None,
    endpoints: tuple[Endpoint, ...],
) -> UseCase:
    if not envs:
        raise DeployError(settings.where(), "it has no environments", "add one there")
    by_name = {env.require_text("ENV_NAME"): env for env in envs}
    name = choose_environment(list(by_name))
    env = by_name[name]
    unsupported_notes = [
        note
        for candidate in envs
        for note in unsupported.find_unsupported_keys(
            candidate, (*_ENVIRONMENT_KEYS, *_WORKSPACE_KEYS)
        )
    ]
    unsupported_notes += [
        Note(
            candidate.where("STANDARD_FLOW_PATH"),
            f"it differs from the flow of {name}",
            IMPORT_AGAIN_HINT,
        )
        for candidate in envs
        if candidate.get_text("STANDARD_FLOW_PATH") not in ("", env.get_text("STANDARD_FLOW_PATH"))
    ]
    runs, tests = _datasets(data, name, mapping, unsupported_notes)
    evaluators = _evaluators(env, mapping, runs, tests)
    return UseCase(
        root=root,
        folder=folder,
        flow=env.require_text("STANDARD_FLOW_PATH"),
        flow_where=env.where("STANDARD_FLOW_PATH"),
        datasets=tuple(runs.values()),
        evaluators=tuple(evaluators),
        endpoints=endpoints,
        workspaces=tuple(
            Workspace(
                candidate.require_text("ENV_NAME"),
                candidate.where(),
                *[candidate.get_text(key) for key in _WORKSPACE_KEYS],
            )
            for candidate in envs
        ),
        connections=(),
        unsupported=tuple(unsupported_notes),
    )


def _datasets(
    data: list[Source], environment: str, mapping: Source | None, unsupported_notes: list[Note]
) -> tuple[dict[str, Dataset], list[tuple[Dataset, str]]]:
    """Return the datasets of runs by name, and those of evaluations, each with its run's name."""
    mappings = mapping.get_mapping("experiment") if mapping else {}
    runs: dict[str, Dataset] = {}
    tests: list[tuple[Dataset, str]] = []
    for entry in data:
        if entry.require_text("ENV_NAME") != environment:
            where = entry.where("DATA_PATH")
            what = f"data of {entry.get_text('ENV_NAME')}; those of {environment} are imported"
            unsupported_notes.append(Note(where, what, "copy it, if you need it"))
            continue
        dataset = Dataset(entry.require_text("DATA_PATH"), entry.where("DATA_PATH"), mappings)
        unsupported_notes += unsupported.find_unsupported_keys(entry, _KNOWN_DATASET_KEYS)
        # Older copies have a single run and do not name it.
        if entry.has("RELATED_EXP_DATASET") or entry.get_text("DATA_PURPOSE") == TEST_DATA_PURPOSE:
            tests.append((dataset, entry.get_text("RELATED_EXP_DATASET")))
        else:
            runs[entry.require_text("DATASET_NAME")] = dataset
    unsupported_notes += [Note(test.where, ONE_DATA_FILE, JOIN_FILES_HINT) for test, _ in tests[1:]]
    return runs, tests


def _evaluators(
    env: Source,
    mapping: Source | None,
    runs: dict[str, Dataset],
    tests: list[tuple[Dataset, str]],
) -> list[Evaluator]:
    mappings = mapping.get_source("evaluation") if mapping else None
    test, related = tests[0] if tests else (None, "")
    run = runs.get(related) if related else next(iter(runs.values()), None)
    return [
        Evaluator(
            path,
            env.where("EVALUATION_FLOW_PATH"),
            _find_mappings(mappings, PurePosixPath(path).name),
            run,
            test,
        )
        for path in (part.strip() for part in env.get_text("EVALUATION_FLOW_PATH").split(","))
        if path
    ]


def _find_mappings(mappings: Source | None, name: str) -> Mapping[str, Any]:
    """Return the mappings of the evaluation flow `name`; older copies share one set of mappings."""
    if mappings is None:
        return {}
    same = all(isinstance(value, str) for value in mappings.value.values())
    return mappings.value if same else mappings.get_mapping(name)
