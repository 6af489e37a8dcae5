"""Convert evaluations: flows and data in the flow's folder evaluation/, and `evaluation:`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

from deploy.importers.llmops import data, flows, requirements
from deploy.importers.llmops.configs import JOIN_FILES_HINT
from deploy.importers.llmops.entities import Dataset, Evaluator, File, FlowFiles, Note, UseCase

FOLDER = "evaluation"


@dataclass(frozen=True)
class Evaluation:
    """The imported parts of an evaluation."""

    files: Mapping[str, File] = field(default_factory=dict)
    # The block `evaluation:` of deploy.yaml.
    block: Mapping[str, Any] = field(default_factory=dict)
    flows: tuple[FlowFiles, ...] = ()
    requirement_lines: tuple[tuple[str, str], ...] = ()


def import_evaluation(
    use_case: UseCase, flow: FlowFiles, unsupported_notes: list[Note]
) -> Evaluation:
    """Return the evaluation of `flow`, an empty one if there is none.

    The template has data for each evaluation flow. Here all evaluation flows judge the same
    answers, so only the data of the first one are imported.
    """
    first = next((entry for entry in use_case.evaluators if entry.run and entry.data), None)
    run, test = (first.run, first.data) if first else (None, None)
    if run is None or test is None:
        unsupported_notes += [
            Note(entry.where, "an evaluation flow without data", "add data, and `evaluation:`")
            for entry in use_case.evaluators
        ]
        return Evaluation()
    unsupported_notes += [
        Note(entry.where, "these data of runs are not imported", JOIN_FILES_HINT)
        for entry in use_case.datasets
        if entry not in (run, test)
    ]
    run_rows = data.read_rows(use_case, run, unsupported_notes)
    test_rows = run_rows if test is run else data.read_rows(use_case, test, unsupported_notes)
    inputs = dict(run.mappings) or {name: f"${{data.{name}}}" for name in flow.inputs}
    rows, names = data.join_rows(run_rows, test_rows, data.list_columns(inputs))
    if not rows:
        return Evaluation()
    if len(run_rows) != len(test_rows):
        what = f"{len(test_rows)} rows for {len(run_rows)} of the run: {len(rows)} are imported"
        unsupported_notes.append(Note(test.where, what, "add the missing rows"))
    file = f"{FOLDER}/{PureWindowsPath(test.source).name}"
    files = {file: File(data.encode_json_lines(rows), _origin(use_case, run, test))}
    evaluator_flows: list[FlowFiles] = []
    lines: list[tuple[str, str]] = []
    evaluators: dict[str, dict[str, Any]] = {}
    for entry in use_case.evaluators:
        if imported := _import_evaluator(
            use_case, entry, (run, test), set(rows[0]), names, unsupported_notes
        ):
            path, mappings, evaluator_flow = imported
            files |= {f"{path}/{name}": file for name, file in evaluator_flow.files.items()}
            evaluators[path] = {
                "inputs": mappings,
                **({"init": evaluator_flow.init} if evaluator_flow.init else {}),
            }
            evaluator_flows.append(evaluator_flow)
            # Evaluation flows run with the packages of the flow.
            lines += requirements.read_requirements_file(
                use_case.root, find_evaluator_folder(use_case, entry)
            )
    if not evaluators:
        return Evaluation()
    return Evaluation(
        files, build_block(file, inputs, evaluators), tuple(evaluator_flows), tuple(lines)
    )


def build_block(
    file: str, inputs: dict[str, Any], evaluators: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return `evaluation:` of a deploy.yaml: data, inputs of the flow, and evaluation flows."""
    return {"data": file, "inputs": inputs, "flows": evaluators}


def _import_evaluator(
    use_case: UseCase,
    evaluator: Evaluator,
    datasets: tuple[Dataset, Dataset],
    columns: set[str],
    names: dict[str, str],
    unsupported_notes: list[Note],
) -> tuple[str, dict[str, Any], FlowFiles] | None:
    """Return an evaluation flow's path, inputs and files; None and a note on missing columns."""
    mappings = data.rename_columns(evaluator.mappings, names)
    missing = sorted(data.list_columns(mappings) - columns)
    if missing:
        what = f"the data of the first evaluation have no {', '.join(missing)}"
        unsupported_notes.append(Note(evaluator.where, what, "add it to the data, then the flow"))
        return None
    if (evaluator.run, evaluator.data) != datasets:
        what = f"this evaluation had its own data; it now uses those of {datasets[1].source}"
        unsupported_notes.append(
            Note(evaluator.data.where if evaluator.data else evaluator.where, what, JOIN_FILES_HINT)
        )
    evaluator_flow = flows.read_flow(
        use_case.root, use_case.folder, find_evaluator_folder(use_case, evaluator)
    )
    unsupported_notes += evaluator_flow.unsupported
    return f"{FOLDER}/{evaluator_flow.name}", mappings, evaluator_flow


def find_evaluator_folder(use_case: UseCase, evaluator: Evaluator) -> Path:
    """Return the folder of an evaluation flow. Raise `DeployError` if it does not exist."""
    return flows.find_folder(use_case.root, use_case.folder, evaluator.flow, evaluator.where)


def _origin(use_case: UseCase, *datasets: Dataset) -> str:
    folder = use_case.folder.relative_to(use_case.root).as_posix()
    return " + ".join(dict.fromkeys(f"{folder}/{dataset.source}" for dataset in datasets))
