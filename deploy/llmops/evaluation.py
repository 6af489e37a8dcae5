"""Their evaluations: flows and data in the flow's folder evaluation/, and the block of them."""

from __future__ import annotations

from pathlib import PureWindowsPath
from typing import Any

from deploy.llmops import data, flows, requirements
from deploy.llmops.model import Dataset, Evaluator, File, FlowFiles, Note, UseCase

FOLDER = "evaluation"


def carry(
    use_case: UseCase, flow: FlowFiles, left: list[Note]
) -> tuple[dict[str, File], dict[str, Any], list[FlowFiles]]:
    """Return files of the evaluation, the block of deploy.yaml, and the evaluation flows.

    All are empty where there is none. The template has data for each evaluation flow; here all
    flows of an evaluation judge the same answers, so the data of the first are taken.
    """
    first = next((one for one in use_case.evaluators if one.run and one.data), None)
    run, test = (first.run, first.data) if first else (None, None)
    if run is None or test is None:
        left += [
            Note(one.where, "an evaluation flow without data", "add data, and `evaluation:`")
            for one in use_case.evaluators
        ]
        return {}, {}, []
    mine = data.rows(use_case, run, left)
    theirs = mine if test is run else data.rows(use_case, test, left)
    inputs = dict(run.mappings) or {name: f"${{data.{name}}}" for name in flow.inputs}
    rows, names = data.joined(mine, theirs, data.columns(inputs))
    if not rows:
        return {}, {}, []
    if len(mine) != len(theirs):
        what = f"{len(theirs)} rows for {len(mine)} of the run: {len(rows)} are carried"
        left.append(Note(test.where, what, "add what is missing"))
    file = f"{FOLDER}/{PureWindowsPath(test.source).name}"
    files = {file: File(data.lines(rows), _origin(use_case, run, test))}
    carried: list[FlowFiles] = []
    judges: dict[str, dict[str, Any]] = {}
    for one in use_case.evaluators:
        if found := _flow(use_case, one, (run, test), set(rows[0]), names, left):
            path, mapped, read, more = found
            files |= more
            judges[path] = {"inputs": mapped, **({"init": read.init} if read.init else {})}
            carried.append(read)
    return files, block(file, inputs, judges) if judges else {}, carried


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
) -> tuple[str, dict[str, Any], FlowFiles, dict[str, File]] | None:
    """Return an evaluation flow's path, inputs, and files; None, and a note, if it cannot be."""
    mappings = data.renamed(one.mappings, names)
    lacking = sorted(data.columns(mappings) - columns)
    if lacking:
        what = f"the data of the first evaluation have no {', '.join(lacking)}"
        left.append(Note(one.where, what, "add it to the data, then the flow"))
        return None
    if (one.run, one.data) != taken:
        what = f"this evaluation had data of its own; it has those of {taken[1].source} here"
        left.append(Note(one.data.where if one.data else one.where, what, "join the files"))
    folder = flows.find(use_case.root, use_case.folder, one.flow, one.where)
    read = flows.read(use_case.root, use_case.folder, folder)
    left += read.left
    lines = requirements.read(use_case.root, use_case.folder, folder)
    path = f"{FOLDER}/{read.name}"
    made = requirements.make(read, flows.needs_tools(read), lines, left)
    files = {f"{path}/{name}": file for name, file in read.files.items()}
    files[f"{path}/requirements.txt"] = made
    return path, mappings, read, files


def _origin(use_case: UseCase, *datasets: Dataset) -> str:
    folder = use_case.folder.relative_to(use_case.root).as_posix()
    return " + ".join(dict.fromkeys(f"{folder}/{one.source}" for one in datasets))
