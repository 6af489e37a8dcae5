"""Load everything that an evaluation needs, and check it before anything runs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import kinds
from deploy.build import flow_files, lock_files
from deploy.config.configuration import DEPLOY_FILE
from deploy.core import yaml_files
from deploy.core.entities import Evaluation, Flow
from deploy.core.errors import DeployError, Problem
from deploy.core.yaml_files import Document, KeyPath, display_path
from deploy.evaluation import data, mapping, signature
from deploy.evaluation.data import DataSet
from deploy.evaluation.signature import FlowSignature

_UNSUPPORTED_KIND = "is of another kind than Prompt flow's, and its batch run is what evaluates"
_UNSUPPORTED_KIND_HINT = "leave it out, and judge such a flow by tests of your own"


@dataclass(frozen=True)
class BatchRun:
    """A flow to run over rows."""

    # As in deploy.yaml for an evaluation flow; empty for the flow that is evaluated.
    name: str
    flow: Flow
    # The flow's files by their path relative to its folder.
    tree: Mapping[str, Path]
    # The source of each input: a constant or a reference (see `mapping`).
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class EvaluationSpec:
    """A flow to evaluate, its data set, its evaluation flows, and the packages of all of them."""

    flow: Flow
    settings: Evaluation
    data: DataSet
    main_run: BatchRun
    evaluation_runs: tuple[BatchRun, ...]
    # The text of the lock file.
    lock: str


def load_spec(definition: Flow, root: Path) -> EvaluationSpec:
    """Return the evaluation of `definition`, which must have one.

    Raise `DeployError` with every problem in deploy.yaml, the data set and the flows.
    """
    settings = definition.evaluation
    if settings is None:
        message = "it says nothing of an evaluation"
        raise DeployError(
            display_path(definition.folder / DEPLOY_FILE), message, "see docs/evaluation.md"
        )
    document = yaml_files.load(definition.folder / DEPLOY_FILE)
    if not kinds.get(definition.kind).promptflow:
        raise DeployError(
            document.where(("evaluation",)),
            f"{definition.name} {_UNSUPPORTED_KIND}",
            _UNSUPPORTED_KIND_HINT,
        )
    problems: list[Problem] = []
    rows = _load_data_set(definition, settings, document, root, problems)
    lock = lock_files.read(definition)
    main_signature = _read_signature(definition, problems)
    runs = [_create_batch_run("", definition, None, root, lock, problems)]
    signatures = [main_signature]
    for name, evaluation_flow in settings.flows.items():
        evaluator = _load_evaluation_flow(definition, name, document, root, problems)
        if evaluator is None:
            continue
        evaluator = dataclasses.replace(evaluator, init=evaluation_flow.init)
        runs.append(_create_batch_run(name, evaluator, definition, root, lock, problems))
        signatures.append(_read_signature(evaluator, problems))
    complete_runs = []
    for run, flow_signature in zip(runs, signatures, strict=True):
        key_path: KeyPath = ("evaluation", "flows", run.name) if run.name else ("evaluation",)
        inputs = settings.flows[run.name].inputs if run.name else settings.inputs
        judged_signature = (main_signature or FlowSignature(None, None)) if run.name else None
        if flow_signature:
            inputs = mapping.complete_mapping(
                inputs, flow_signature, rows, judged_signature, document, key_path, problems
            )
        complete_runs.append(dataclasses.replace(run, inputs=inputs))
    if problems or rows is None:
        raise DeployError.from_problems(list(dict.fromkeys(problems)))
    return EvaluationSpec(
        definition, settings, rows, complete_runs[0], tuple(complete_runs[1:]), lock
    )


def _load_data_set(
    definition: Flow,
    settings: Evaluation,
    document: Document,
    root: Path,
    problems: list[Problem],
) -> DataSet | None:
    key_path: KeyPath = ("evaluation", "data")
    path = _resolve_path(definition, settings.data, document, key_path, root, problems)
    if path is None:
        return None
    if not path.is_file():
        message = f"{display_path(path)} is not there"
        problems.append(
            Problem(document.where(key_path), message, "write one JSON object a line into it")
        )
        return None
    try:
        return data.read_data_set(path)
    except DeployError as error:
        problems += error.problems
        return None


def _load_evaluation_flow(
    definition: Flow, name: str, document: Document, root: Path, problems: list[Problem]
) -> Flow | None:
    """Return the evaluation flow in the folder `name`; None and a problem if it is invalid."""
    key_path: KeyPath = ("evaluation", "flows", name)
    folder = _resolve_path(definition, name, document, key_path, root, problems)
    if folder is None:
        return None
    if not folder.is_dir():
        message = f"there is no folder {display_path(folder)}"
        hint = "correct the path: it starts at the flow's folder"
        problems.append(Problem(document.where(key_path), message, hint))
        return None
    try:
        kind, entry = kinds.detect_kind(folder)
    except DeployError as error:
        problems += error.problems
        return None
    if not kinds.get(kind).promptflow:
        problems.append(
            Problem(
                document.where(key_path),
                f"{display_path(folder)} {_UNSUPPORTED_KIND}",
                _UNSUPPORTED_KIND_HINT,
            )
        )
        return None
    return dataclasses.replace(definition, folder=folder, kind=kind, entry=entry)


def _resolve_path(
    definition: Flow,
    name: str,
    document: Document,
    key_path: KeyPath,
    root: Path,
    problems: list[Problem],
) -> Path | None:
    """Return the path `name` relative to the flow's folder; it must not be part of the image."""
    path = (definition.folder / name).resolve()
    location = document.where(key_path)
    if not path.is_relative_to(root):
        problems.append(
            Problem(location, f"{name} is outside of the repository", "copy it into it")
        )
        return None
    if path.is_relative_to(definition.folder) and not flow_files.is_evaluation_file(path, root):
        message = f"{name} would be in the flow's image"
        hint = (
            f"move it into {display_path(definition.folder / flow_files.EVALUATION_FOLDER)}/, "
            "which no image has"
        )
        problems.append(Problem(location, message, hint))
        return None
    return path


def _create_batch_run(
    name: str, flow: Flow, owner: Flow | None, root: Path, lock: str, problems: list[Problem]
) -> BatchRun:
    """Return the run of a flow; add the problems that its files show without running it."""
    tree: dict[str, Path] = {}
    try:
        tree = flow_files.list_files_by_flow_path(flow, root)
        flow_files.check_syntax(flow, tree)
    except DeployError as error:
        problems += error.problems
    checks: list[Callable[[], None]] = [
        functools.partial(flow_files.check_connections, flow, owner),
        functools.partial(flow_files.check_packages, flow, lock, owner),
    ]
    for check in checks:
        try:
            check()
        except DeployError as error:
            problems += error.problems
    return BatchRun(name, flow, tree, {})


def _read_signature(flow: Flow, problems: list[Problem]) -> FlowSignature | None:
    try:
        return signature.read_signature(flow)
    except DeployError as error:
        problems += error.problems
        return None
