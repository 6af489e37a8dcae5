"""Their evaluations: flows and data in the flow's folder evaluation/, and the block of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

from deploy.llmops import data, flows, requirements
from deploy.llmops.configs import JOIN
from deploy.llmops.model import Dataset, Evaluator, File, FlowFiles, Note, UseCase

FOLDER = "evaluation"


@dataclass(frozen=True)
class Evaluation:
    """What is carried of an evaluation: `block` is for deploy.yaml, `lines` are requirements."""

    files: Mapping[str, File] = field(default_factory=dict)
    block: Mapping[str, Any] = field(default_factory=dict)
    flows: tuple[FlowFiles, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()


def carry(use_case: UseCase, flow: FlowFiles, left: list[Note]) -> Evaluation:
    """Return the evaluation of `flow`, an empty one where there is none.

    The template has data for each evaluation flow; here all flows of an evaluation judge the same
    answers, so the data of the first are taken.
    """
    first = next((one for one in use_case.evaluators if one.run and one.data), None)
    run, test = (first.run, first.data) if first else (None, None)
    if run is None or test is None:
        left += [
            Note(one.where, "an evaluation flow without data", "add data, and `evaluation:`")
            for one in use_case.evaluators
        ]
        return Evaluation()
    left += [
        Note(one.where, "these data of runs have no place here", JOIN)
        for one in use_case.datasets
        if one not in (run, test)
    ]
    mine = data.rows(use_case, run, left)
    theirs = mine if test is run else data.rows(use_case, test, left)
    inputs = dict(run.mappings) or {name: f"${{data.{name}}}" for name in flow.inputs}
    rows, names = data.joined(mine, theirs, data.columns(inputs))
    if not rows:
        return Evaluation()
    if len(mine) != len(theirs):
        what = f"{len(theirs)} rows for {len(mine)} of the run: {len(rows)} are carried"
        left.append(Note(test.where, what, "add what is missing"))
    file = f"{FOLDER}/{PureWindowsPath(test.source).name}"
    files = {file: File(data.lines(rows), _origin(use_case, run, test))}
    carried: list[FlowFiles] = []
    lines: list[tuple[str, str]] = []
    judges: dict[str, dict[str, Any]] = {}
    for one in use_case.evaluators:
        if found := _flow(use_case, one, (run, test), set(rows[0]), names, left):
            path, mapped, read = found
            files |= {f"{path}/{name}": file for name, file in read.files.items()}
            judges[path] = {"inputs": mapped, **({"init": read.init} if read.init else {})}
            carried.append(read)
            # They run with the packages of the flow.
            lines += requirements.own(use_case.root, folder_of(use_case, one))
    if not judges:
        return Evaluation()
    return Evaluation(files, block(file, inputs, judges), tuple(carried), tuple(lines))


def block(file: str, inputs: dict[str, Any], judges: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return `evaluation:` of a deploy.yaml: the data, the flow's inputs, and each flow's."""
    return {"data": file, "inputs": inputs, "flows": judges}


def _flow(
    use_case: UseCase,
    one: Evaluator,
    taken: tuple[Dataset, Dataset],
    columns: set[str],
    names: dict[str, str],
    left: list[Note],
) -> tuple[str, dict[str, Any], FlowFiles] | None:
    """Return an evaluation flow's path, inputs and files; None, and a note, if it cannot be."""
    mappings = data.renamed(one.mappings, names)
    lacking = sorted(data.columns(mappings) - columns)
    if lacking:
        what = f"the data of the first evaluation have no {', '.join(lacking)}"
        left.append(Note(one.where, what, "add it to the data, then the flow"))
        return None
    if (one.run, one.data) != taken:
        what = f"this evaluation had data of its own; it has those of {taken[1].source} here"
        left.append(Note(one.data.where if one.data else one.where, what, JOIN))
    read = flows.read(use_case.root, use_case.folder, folder_of(use_case, one))
    left += read.left
    return f"{FOLDER}/{read.name}", mappings, read


def folder_of(use_case: UseCase, one: Evaluator) -> Path:
    """Return the folder of an evaluation flow. Raises `DeployError` where there is none."""
    return flows.find(use_case.root, use_case.folder, one.flow, one.where)


def _origin(use_case: UseCase, *datasets: Dataset) -> str:
    folder = use_case.folder.relative_to(use_case.root).as_posix()
    return " + ".join(dict.fromkeys(f"{folder}/{one.source}" for one in datasets))
