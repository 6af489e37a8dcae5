"""Convert a use case of the template to the files that an import would write; write nothing."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PureWindowsPath
from typing import Any

from ruamel.yaml import YAML

from deploy.config import configuration, secret_patterns
from deploy.config.configuration import Project
from deploy.core import yaml_files
from deploy.core.errors import DeployError, Problem
from deploy.importers.llmops import (
    connections,
    data,
    environments,
    evaluation,
    flows,
    requirements,
    unsupported,
)
from deploy.importers.llmops.entities import File, FlowFiles, Import, Note, UseCase
from deploy.importers.llmops.environments import Environment
from deploy.importers.llmops.source import read_bytes, resolve_path

SCHEMA_COMMENT = "# yaml-language-server: $schema=../../docs/schema/deploy.json\n"
# Prevents the YAML writer from breaking lines.
MAX_LINE_WIDTH = 10**6


def convert_use_case(project: Project, use_case: UseCase, name: str | None) -> Import:
    """Return what importing `use_case` as the flow `name` would write.

    Raise `DeployError` if a flow of that name exists, a source file is broken or outside of its
    folder, or a file to copy contains a secret.
    """
    flow_name = _choose_flow_name(project, use_case, name)
    assumptions: list[Note] = []
    unsupported_notes = list(use_case.unsupported)
    folder = flows.find_folder(use_case.root, use_case.folder, use_case.flow, use_case.flow_where)
    flow = flows.read_flow(use_case.root, use_case.folder, folder)
    unsupported_notes += flow.unsupported
    requirement_lines = requirements.read_requirements(use_case.root, use_case.folder, folder)
    files = dict(flow.files)
    files["sample.json"] = _build_sample(use_case, flow, assumptions, unsupported_notes)
    evaluated = evaluation.import_evaluation(use_case, flow, unsupported_notes)
    _require_distinct_files(flow, evaluated.files)
    files |= evaluated.files
    tools = any(flows.needs_tools(candidate) for candidate in (flow, *evaluated.flows))
    files["requirements.txt"] = requirements.build_requirements_file(
        flow, tools, requirement_lines, evaluated.requirement_lines, unsupported_notes
    )
    connected_flow = _add_model_connection(flow, use_case, assumptions)
    declared, variables = connections.declare_connections(
        [connected_flow, *evaluated.flows], use_case.connections, assumptions
    )
    assumptions += _note_evaluation_connections(connected_flow, evaluated.flows)
    drafts = environments.list_environments(use_case, assumptions, unsupported_notes)
    if flow.kind != "dag":
        what = "the type of its answers is not certain"
        where = flow.files[flow.entry].origin
        assumptions.append(
            Note(where, what, "correct `expect` in deploy.yaml after the first answer")
        )
    content = _render_deploy_yaml(connected_flow, declared, drafts, evaluated.block)
    origin = use_case.flow_where.partition(":")[0]
    files["deploy.yaml"] = File(content.encode(), origin)
    if not evaluated.block and use_case.evaluators:
        what = "no evaluation is imported"
        unsupported_notes.append(
            Note(use_case.evaluators[0].where, what, "add `evaluation:` to deploy.yaml")
        )
    elif evaluated.block:
        what = "the template has no thresholds: every result passes"
        then = "add `thresholds` to each flow under `evaluation`"
        assumptions.append(Note(use_case.evaluators[0].where, what, then))
    environments_text, new_names = _environments(project, drafts, unsupported_notes)
    _reject_secrets(files)
    return Import(
        flow=flow_name,
        files={f"flows/{flow_name}/{name}": files[name] for name in sorted(files)},
        environments=environments_text,
        new_environments=new_names,
        variables={**variables, **_secrets(drafts), **_list_place_variables(environments_text)},
        assumptions=tuple(dict.fromkeys(assumptions)),
        # Notes that require no action come last.
        unsupported=tuple(
            sorted(
                dict.fromkeys(unsupported_notes),
                key=lambda note: note.then == unsupported.NO_ACTION,
            )
        ),
    )


def _choose_flow_name(project: Project, use_case: UseCase, name: str | None) -> str:
    """Return the flow's name: `name`, or the use case's name in valid characters."""
    flow_name = name or re.sub(r"[^a-z0-9]+", "-", use_case.folder.name.lower()).strip("-")
    if not configuration.FLOW_NAME.match(flow_name):
        what = f"{flow_name!r} cannot be the name of a flow"
        hint = "--flow takes 2 to 40 lower-case letters, digits and hyphens, a letter first"
        raise DeployError("--flow", what, hint)
    folder = project.root / "flows" / flow_name
    if folder.exists() or folder.is_symlink():
        what = f"flows/{flow_name} already exists, and nothing is overwritten"
        raise DeployError("--flow", what, "give the flow another name with --flow")
    return flow_name


def _build_sample(
    use_case: UseCase, flow: FlowFiles, assumptions: list[Note], unsupported_notes: list[Note]
) -> File:
    """Return a sample request: the template's test file, a data row, or the inputs' defaults."""
    for endpoint in use_case.endpoints:
        path = endpoint.source.get_text("TEST_FILE_PATH")
        if not path:
            continue
        where = endpoint.source.where("TEST_FILE_PATH")
        sample_path = resolve_path(use_case.root, use_case.folder, path, where)
        if not sample_path.is_file():
            continue
        origin = sample_path.relative_to(use_case.root).as_posix()
        file = File(read_bytes(use_case.root, sample_path), origin)
        request = flows.parse_json(file)
        if data.build_request({}, request, flow.inputs) or not flow.inputs:
            return _request(request, origin)
        what = "its keys are not the flow's inputs"
        unsupported_notes.append(Note(f"{origin}:1", what, "see sample.json"))
    for dataset in use_case.datasets:
        rows = data.read_rows(use_case, dataset, unsupported_notes)
        row = data.build_request(dataset.mappings, rows[0], flow.inputs) if rows else None
        if row is not None:
            folder = use_case.folder.relative_to(use_case.root).as_posix()
            return _request(row, f"{folder}/{PureWindowsPath(dataset.source).as_posix()}:1")
    entry = flow.files[flow.entry].origin
    what = "no data match the flow's inputs: the sample has their defaults"
    assumptions.append(Note(entry, what, "write a real request into sample.json"))
    return _request(
        {name: _default(declaration) for name, declaration in flow.inputs.items()}, entry
    )


def _default(declaration: Any) -> Any:
    if isinstance(declaration, dict) and "default" in declaration:
        return declaration["default"]
    kind = str(declaration.get("type")) if isinstance(declaration, dict) else ""
    return {"int": 0, "double": 0.0, "bool": False, "list": [], "object": {}}.get(kind, "…")


def _request(row: Mapping[str, Any], origin: str) -> File:
    return File(data.encode_json(row, indent=2), origin)


def _add_model_connection(flow: FlowFiles, use_case: UseCase, assumptions: list[Note]) -> FlowFiles:
    """Return a flow whose model configurations name connections instead of keys and addresses."""
    init, used = dict(flow.init), dict(flow.connections)
    for name, value in flow.init.items():
        if isinstance(value, dict) and "azure_deployment" in value and "connection" not in value:
            first = next(
                (connection.name for connection in use_case.connections), "open_ai_connection"
            )
            where = flow.files[flow.entry].origin
            what = f"{name} had its own address and key: it now names the connection {first}"
            assumptions.append(Note(where, what, "correct `init` and `connections` in deploy.yaml"))
            init[name] = {**value, "connection": first}
            used[first] = (where, flows.AZURE_OPEN_AI)
    return replace(flow, init=init, connections=used)


def _note_evaluation_connections(flow: FlowFiles, evaluators: Iterable[FlowFiles]) -> list[Note]:
    """Return a note for each connection that only evaluation flows use."""
    what = "only evaluation flows use the connection {}, but the container requires its variables"
    return [
        Note(where, what.format(name), "set them, or omit that evaluation flow")
        for evaluator in evaluators
        for name, (where, _) in evaluator.connections.items()
        if name not in flow.connections
    ]


def _render_deploy_yaml(
    flow: FlowFiles,
    declared: Mapping[str, Any],
    drafts: list[Environment],
    block: Mapping[str, Any],
) -> str:
    content: dict[str, Any] = {"sample": "sample.json", "expect": flow.expected_answer}
    content |= {"connections": declared} if declared else {}
    content |= {"init": flow.init} if flow.init else {}
    content |= {"evaluation": block} if block else {}
    settings_by_environment = {draft.name: draft.settings for draft in drafts}
    return SCHEMA_COMMENT + _yaml(
        {
            **content,
            "environments": {environments.LOCAL: {"target": "local"}, **settings_by_environment},
        }
    )


def _yaml(value: Any) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = MAX_LINE_WIDTH
    text = io.StringIO()
    yaml.dump(value, text)
    return text.getvalue()


def _environments(
    project: Project, drafts: list[Environment], unsupported_notes: list[Note]
) -> tuple[str, tuple[str, ...]]:
    """Return the text to append to environments.yaml, and the new names; existing ones stay."""
    known = yaml_files.load(project.root / configuration.ENVIRONMENTS_FILE).data
    new_names, text = [], ""
    if environments.LOCAL not in known:
        new_names, text = [environments.LOCAL], f"{environments.LOCAL}: {{}}\n"
    for draft in drafts:
        if draft.name not in known:
            new_names.append(draft.name)
            text += (
                f"# Imported from {draft.where.partition(':')[0]}\n"
                f"{_yaml({draft.name: draft.place})}"
            )
            continue
        entry = known[draft.name] if isinstance(known[draft.name], dict) else {}
        for key, value in draft.place.items():
            if entry.get(key) != value and not ("${" in value and key in entry):
                current = "another value" if key in entry else "none"
                what = f"environments.yaml has {current} for {draft.name}.{key}, and is not changed"
                then = f"the imported value is {value}: write it there, or rename the environment"
                unsupported_notes.append(Note(draft.where, what, then))
    return text, tuple(new_names)


def _secrets(drafts: Iterable[Environment]) -> dict[str, str]:
    return {
        name: f"a secret of the container in {draft.name}"
        for draft in drafts
        for name in draft.settings.get("env", {}).get("secret", ())
    }


def _list_place_variables(text: str) -> dict[str, str]:
    names = re.findall(r"\$\{(\w+)\}", text)
    return dict.fromkeys(names, "environments.yaml")


def _require_distinct_files(flow: FlowFiles, evaluation_files: Mapping[str, File]) -> None:
    shared = sorted(set(flow.files) & set(evaluation_files))
    if shared:
        what = f"the evaluation would overwrite the flow's file {shared[0]}"
        raise DeployError(flow.files[shared[0]].origin, what, "rename it there")


def _reject_secrets(files: Mapping[str, File]) -> None:
    """Raise `DeployError` with every secret in the files to copy; quote no secret."""
    hint = "remove it there, and create a new one: it is in that repository's history"
    problems = []
    for file in files.values():
        for rule, start, _ in secret_patterns.find_secrets(file.content):
            line = file.content.count(b"\n", 0, start) + 1
            where = file.origin if ":" in file.origin else f"{file.origin}:{line}"
            problems.append(Problem(where, f"this looks like {rule}; nothing was written", hint))
    if problems:
        raise DeployError.from_problems(problems)
