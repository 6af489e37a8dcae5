"""What an evaluation runs, complete and checked before anything does."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import documents, flow, kinds, locks
from deploy.config import DEPLOY
from deploy.documents import Document, KeyPath, show
from deploy.errors import DeployError, Problem
from deploy.evaluation import data, interface, mapping
from deploy.evaluation.data import DataSet
from deploy.evaluation.interface import Interface
from deploy.evaluation.settings import EvaluationModel
from deploy.model import Flow

_OTHER = "is of another kind than Prompt flow's, and its batch run is what evaluates"
_LEAVE = "leave it out, and judge such a flow by tests of your own"


@dataclass(frozen=True)
class Part:
    """A flow to run: its files by their path from its folder, and where its inputs come from.

    `name` is the evaluation flow's in deploy.yaml, empty for the flow that is evaluated.
    """

    name: str
    flow: Flow
    tree: Mapping[str, Path]
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """A data set, the flow that answers, the flows that judge, and the locked packages of all."""

    flow: Flow
    settings: EvaluationModel
    data: DataSet
    answering: Part
    judging: tuple[Part, ...]
    lock: str


def prepare(definition: Flow, root: Path) -> Job:
    """Return the job of `definition`, which has an evaluation.

    Raises `DeployError` with every problem in deploy.yaml, the data set and the flows.
    """
    settings = definition.evaluation
    if settings is None:
        what = "it says nothing of an evaluation"
        raise DeployError(show(definition.folder / DEPLOY), what, "see docs/evaluation.md")
    document = documents.load(definition.folder / DEPLOY)
    if not kinds.get(definition.kind).promptflow:
        raise DeployError(document.where(("evaluation",)), f"{definition.name} {_OTHER}", _LEAVE)
    problems: list[Problem] = []
    rows = _rows(definition, settings, document, root, problems)
    lock = locks.read(definition)
    own = _interface(definition, problems)
    parts = [_part("", definition, None, root, lock, problems)]
    faces = [own]
    for name, asked in settings.flows.items():
        judge = _judge(definition, name, document, root, problems)
        if judge is None:
            continue
        judge = dataclasses.replace(judge, init=asked.init)
        parts.append(_part(name, judge, definition, root, lock, problems))
        faces.append(_interface(judge, problems))
    whole = []
    for part, face in zip(parts, faces, strict=True):
        at: KeyPath = ("evaluation", "flows", part.name) if part.name else ("evaluation",)
        given = settings.flows[part.name].inputs if part.name else settings.inputs
        judged = (own or Interface(None, None)) if part.name else None
        if face:
            given = mapping.complete(given, face, rows, judged, document, at, problems)
        whole.append(dataclasses.replace(part, inputs=given))
    if problems or rows is None:
        raise DeployError.of(list(dict.fromkeys(problems)))
    return Job(definition, settings, rows, whole[0], tuple(whole[1:]), lock)


def _rows(
    definition: Flow,
    settings: EvaluationModel,
    document: Document,
    root: Path,
    problems: list[Problem],
) -> DataSet | None:
    at: KeyPath = ("evaluation", "data")
    path = _inside(definition, settings.data, document, at, root, problems)
    if path is None:
        return None
    if not path.is_file():
        what = f"{show(path)} is not there"
        problems.append(Problem(document.where(at), what, "write one JSON object a line into it"))
        return None
    try:
        return data.read(path)
    except DeployError as error:
        problems += error.problems
        return None


def _judge(
    definition: Flow, name: str, document: Document, root: Path, problems: list[Problem]
) -> Flow | None:
    """Return the evaluation flow in the folder `name`."""
    at: KeyPath = ("evaluation", "flows", name)
    folder = _inside(definition, name, document, at, root, problems)
    if folder is None:
        return None
    if not folder.is_dir():
        what = f"there is no folder {show(folder)}"
        hint = "correct the path: it starts at the flow's folder"
        problems.append(Problem(document.where(at), what, hint))
        return None
    try:
        kind, entry = kinds.detect(folder)
    except DeployError as error:
        problems += error.problems
        return None
    if not kinds.get(kind).promptflow:
        problems.append(Problem(document.where(at), f"{show(folder)} {_OTHER}", _LEAVE))
        return None
    return dataclasses.replace(definition, folder=folder, kind=kind, entry=entry)


def _inside(
    definition: Flow,
    name: str,
    document: Document,
    at: KeyPath,
    root: Path,
    problems: list[Problem],
) -> Path | None:
    """Return the path `name` from the flow's folder, which must be one that reaches no image."""
    path = (definition.folder / name).resolve()
    where = document.where(at)
    if not path.is_relative_to(root):
        problems.append(Problem(where, f"{name} is outside of the repository", "copy it into it"))
        return None
    if path.is_relative_to(definition.folder) and not flow.of_evaluation(path, root):
        what = f"{name} would be in the flow's image"
        hint = f"move it into {show(definition.folder / flow.EVALUATION)}/, which no image has"
        problems.append(Problem(where, what, hint))
        return None
    return path


def _part(
    name: str, one: Flow, owner: Flow | None, root: Path, lock: str, problems: list[Problem]
) -> Part:
    """Return the files of a flow; add what can be told to be wrong with them."""
    tree: dict[str, Path] = {}
    try:
        tree = flow.laid_out(one, root)
        flow.check_syntax(one, tree)
    except DeployError as error:
        problems += error.problems
    checks: list[Callable[[], None]] = [
        functools.partial(flow.check_connections, one, owner),
        functools.partial(flow.check_packages, one, lock, owner),
    ]
    for check in checks:
        try:
            check()
        except DeployError as error:
            problems += error.problems
    return Part(name, one, tree, {})


def _interface(one: Flow, problems: list[Problem]) -> Interface | None:
    try:
        return interface.of(one)
    except DeployError as error:
        problems += error.problems
        return None
