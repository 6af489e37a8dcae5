"""Load everything that an evaluation needs, and check it before anything runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy import kinds
from deploy.build import flow_files, lock_files
from deploy.config.configuration import DEPLOY_FILE
from deploy.core import yaml_files
from deploy.core.entities import Evaluation, Flow
from deploy.core.errors import DeployError, Problem, collect_problems
from deploy.core.yaml_files import Document, KeyPath, display_path
from deploy.evaluation import data, mapping, signature
from deploy.evaluation.data import DataSet
from deploy.evaluation.signature import FlowSignature

_UNSUPPORTED_KIND = "cannot be evaluated: Prompt flow's batch run does not support its kind of flow"
_UNSUPPORTED_KIND_HINT = "remove it from the evaluation, and write tests of your own for it"


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
    document = yaml_files.load(definition.folder / DEPLOY_FILE)
    if settings is None:
        location = display_path(definition.folder / DEPLOY_FILE)
        raise DeployError(location, "it has no evaluation", "add one: docs/evaluation.md")
    if not kinds.get(definition.kind).promptflow:
        location = document.where(("evaluation",))
        message = f"{definition.name} {_UNSUPPORTED_KIND}"
        raise DeployError(location, message, _UNSUPPORTED_KIND_HINT)
    loader = _Loader(definition, document, root, lock_files.read(definition))
    rows = loader.load_data_set(settings)
    main_run, main_signature = loader.load_run("", definition, None)
    runs = [(main_run, main_signature)]
    for name, evaluation_flow in settings.flows.items():
        if evaluator := loader.load_evaluation_flow(name):
            evaluator = dataclasses.replace(evaluator, init=evaluation_flow.init)
            runs.append(loader.load_run(name, evaluator, definition))
    complete_runs = []
    for run, flow_signature in runs:
        key_path: KeyPath = ("evaluation", "flows", run.name) if run.name else ("evaluation",)
        inputs = settings.flows[run.name].inputs if run.name else settings.inputs
        evaluated_signature = (main_signature or FlowSignature(None, None)) if run.name else None
        if flow_signature:
            inputs = mapping.complete_mapping(
                inputs,
                flow_signature,
                rows,
                evaluated_signature,
                document,
                key_path,
                loader.problems,
            )
        complete_runs.append(dataclasses.replace(run, inputs=inputs))
    if loader.problems or rows is None:
        raise DeployError.from_problems(list(dict.fromkeys(loader.problems)))
    return EvaluationSpec(
        definition, settings, rows, complete_runs[0], tuple(complete_runs[1:]), loader.lock
    )


@dataclass(frozen=True)
class _Loader:
    """Loads the parts of a flow's evaluation and collects the problems of all of them."""

    flow: Flow
    # The flow's deploy.yaml.
    document: Document
    root: Path
    # The text of the flow's lock file.
    lock: str
    problems: list[Problem] = field(default_factory=list)

    def load_data_set(self, settings: Evaluation) -> DataSet | None:
        key_path: KeyPath = ("evaluation", "data")
        path = self._resolve_path(settings.data, key_path)
        if path and path.is_file():
            with collect_problems(self.problems):
                return data.read_data_set(path)
        elif path:
            message = f"the data set {display_path(path)} does not exist"
            self._add_problem(key_path, message, "create it, with one JSON object per line")
        return None

    def load_evaluation_flow(self, name: str) -> Flow | None:
        """Return the evaluation flow in the folder `name`; None and a problem if it is invalid."""
        key_path: KeyPath = ("evaluation", "flows", name)
        folder = self._resolve_path(name, key_path)
        if folder is None:
            return None
        if not folder.is_dir():
            message = f"the folder {display_path(folder)} does not exist"
            hint = "correct the path, which is relative to the flow's folder"
            self._add_problem(key_path, message, hint)
            return None
        with collect_problems(self.problems):
            kind, entry = kinds.detect_kind(folder)
            if kinds.get(kind).promptflow:
                return dataclasses.replace(self.flow, folder=folder, kind=kind, entry=entry)
            message = f"{display_path(folder)} {_UNSUPPORTED_KIND}"
            self._add_problem(key_path, message, _UNSUPPORTED_KIND_HINT)
        return None

    def load_run(
        self, name: str, flow: Flow, owner: Flow | None
    ) -> tuple[BatchRun, FlowSignature | None]:
        """Return the run of a flow and its signature; check its files without running them."""
        tree: dict[str, Path] = {}
        with collect_problems(self.problems):
            tree = flow_files.list_files_by_flow_path(flow, self.root)
            flow_files.check_syntax(flow, tree)
        with collect_problems(self.problems):
            flow_files.check_connections(flow, owner)
        with collect_problems(self.problems):
            flow_files.check_packages(flow, self.lock, owner)
        flow_signature = None
        with collect_problems(self.problems):
            flow_signature = signature.read_signature(flow)
        return BatchRun(name, flow, tree, {}), flow_signature

    def _resolve_path(self, name: str, key_path: KeyPath) -> Path | None:
        """Return the path `name` relative to the flow's folder; it must not be in the image."""
        folder = self.flow.folder
        path = (folder / name).resolve()
        if not path.is_relative_to(self.root):
            message = f"{name} is outside of the repository"
            self._add_problem(key_path, message, "copy it into the repository")
            return None
        if path.is_relative_to(folder) and not flow_files.is_development_file(path, self.root):
            message = f"{name} would become part of the flow's image"
            allowed = display_path(folder / flow_files.EVALUATION_FOLDER)
            self._add_problem(
                key_path, message, f"move it to {allowed}/, which images do not include"
            )
            return None
        return path

    def _add_problem(self, key_path: KeyPath, message: str, hint: str) -> None:
        self.problems.append(Problem(self.document.where(key_path), message, hint))
