"""A use case of theirs → all that an import would write. Reads, and writes nothing."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from pathlib import PureWindowsPath
from typing import Any

from ruamel.yaml import YAML

from deploy import config, documents
from deploy.config import Project
from deploy.errors import DeployError, Problem
from deploy.gate import shapes
from deploy.llmops import connections, data, evaluation, flows, leaving, places, requirements
from deploy.llmops.model import File, FlowFiles, Import, Note, UseCase
from deploy.llmops.places import Environment
from deploy.llmops.source import inside, read_bytes

SCHEMA = "# yaml-language-server: $schema=../../docs/schema/deploy.json\n"
# Not a line of it is broken.
WIDEST = 10**6


def plan(project: Project, use_case: UseCase, name: str | None) -> Import:
    """Return what importing `use_case` as the flow `name` would write.

    Raises `DeployError` where that cannot be: a flow of that name is there, a file of theirs is
    broken or leads elsewhere, a secret is in what would be copied.
    """
    flow_name = _name(project, use_case, name)
    guessed: list[Note] = []
    left = list(use_case.left)
    folder = flows.find(use_case.root, use_case.folder, use_case.flow, use_case.flow_where)
    flow = flows.read(use_case.root, use_case.folder, folder)
    left += flow.left
    lines = requirements.read(use_case.root, use_case.folder, folder)
    files = dict(flow.files)
    files["sample.json"] = _sample(use_case, flow, guessed, left)
    judged = evaluation.carry(use_case, flow, left)
    _apart(flow, judged.files)
    files |= judged.files
    tools = any(flows.needs_tools(one) for one in (flow, *judged.flows))
    files["requirements.txt"] = requirements.make(flow, tools, lines, judged.lines, left)
    init = _with_connection(flow, use_case, guessed)
    declared, variables = connections.declare([init, *judged.flows], use_case.declared, guessed)
    guessed += _for_evaluation(init, judged.flows)
    environments = places.of(use_case, guessed, left)
    if flow.kind != "dag":
        what = "nothing tells for certain what it answers"
        where = flow.files[flow.entry].origin
        guessed.append(Note(where, what, "correct `expect` in deploy.yaml after the first answer"))
    content = _deploy(init, declared, environments, judged.block)
    origin = use_case.flow_where.partition(":")[0]
    files["deploy.yaml"] = File(content.encode(), origin)
    if not judged.block and use_case.evaluators:
        what = "no evaluation is carried"
        left.append(Note(use_case.evaluators[0].where, what, "add `evaluation:` to deploy.yaml"))
    elif judged.block:
        what = "the template has no thresholds: any result is good"
        then = "add `thresholds` to each flow under `evaluation`"
        guessed.append(Note(use_case.evaluators[0].where, what, then))
    appended, added = _environments(project, environments, left)
    _refuse_secrets(files)
    return Import(
        flow=flow_name,
        files={f"flows/{flow_name}/{name}": files[name] for name in sorted(files)},
        environments=appended,
        added=added,
        variables={**variables, **_secrets(environments), **_unset(appended)},
        guessed=tuple(dict.fromkeys(guessed)),
        # What asks for nothing comes last.
        left=tuple(sorted(dict.fromkeys(left), key=lambda note: note.then == leaving.NOTHING)),
    )


def _name(project: Project, use_case: UseCase, name: str | None) -> str:
    """Return the name of the flow: `name`, or that of the use case in our letters."""
    found = name or re.sub(r"[^a-z0-9]+", "-", use_case.folder.name.lower()).strip("-")
    if not config.NAME.match(found):
        what = f"{found!r} cannot be the name of a flow"
        hint = "--flow takes 2 to 40 lower-case letters, digits and hyphens, a letter first"
        raise DeployError("--flow", what, hint)
    folder = project.root / "flows" / found
    if folder.exists() or folder.is_symlink():
        what = f"flows/{found} is there already, and nothing is overwritten"
        raise DeployError("--flow", what, "give the flow another name with --flow")
    return found


def _sample(use_case: UseCase, flow: FlowFiles, guessed: list[Note], left: list[Note]) -> File:
    """Return one request: the template's own test, a row of the data, or the inputs' defaults."""
    for endpoint in use_case.endpoints:
        path = endpoint.source.text("TEST_FILE_PATH")
        if not path:
            continue
        where = endpoint.source.where("TEST_FILE_PATH")
        found = inside(use_case.root, use_case.folder, path, where)
        if not found.is_file():
            continue
        origin = found.relative_to(use_case.root).as_posix()
        file = File(read_bytes(use_case.root, found), origin)
        tested = flows.parse_json(file)
        if data.request({}, tested, flow.inputs) or not flow.inputs:
            return _request(tested, origin)
        what = "its keys are not the flow's inputs"
        left.append(Note(f"{origin}:1", what, "see sample.json"))
    for dataset in use_case.datasets:
        rows = data.rows(use_case, dataset, left)
        row = data.request(dataset.mappings, rows[0], flow.inputs) if rows else None
        if row is not None:
            folder = use_case.folder.relative_to(use_case.root).as_posix()
            return _request(row, f"{folder}/{PureWindowsPath(dataset.source).as_posix()}:1")
    entry = flow.files[flow.entry].origin
    what = "no data fit the flow's inputs: the sample has their defaults"
    guessed.append(Note(entry, what, "write a real request into sample.json"))
    return _request({name: _default(one) for name, one in flow.inputs.items()}, entry)


def _default(one: Any) -> Any:
    if isinstance(one, dict) and "default" in one:
        return one["default"]
    kind = str(one.get("type")) if isinstance(one, dict) else ""
    return {"int": 0, "double": 0.0, "bool": False, "list": [], "object": {}}.get(kind, "…")


def _request(row: Mapping[str, Any], origin: str) -> File:
    return File(data.json_bytes(row, indent=2), origin)


def _with_connection(flow: FlowFiles, use_case: UseCase, guessed: list[Note]) -> FlowFiles:
    """Return a flex flow whose model configuration names a connection, where theirs had values."""
    init, used = dict(flow.init), dict(flow.connections)
    for name, value in flow.init.items():
        if isinstance(value, dict) and "azure_deployment" in value and "connection" not in value:
            first = next((one.name for one in use_case.declared), "open_ai_connection")
            where = flow.files[flow.entry].origin
            what = f"{name} had its own address and key: it names the connection {first} here"
            guessed.append(Note(where, what, "correct `init` and `connections` in deploy.yaml"))
            init[name] = {**value, "connection": first}
            used[first] = (where, flows.AZURE)
    return FlowFiles(**{**vars(flow), "init": init, "connections": used})


def _for_evaluation(flow: FlowFiles, judges: Iterable[FlowFiles]) -> list[Note]:
    """Return a note for each connection that the flow itself does not use."""
    what = "evaluation flows alone use the connection {}, and the container asks for its variables"
    return [
        Note(where, what.format(name), "set them, or leave that evaluation flow out")
        for judge in judges
        for name, (where, _) in judge.connections.items()
        if name not in flow.connections
    ]


def _deploy(
    flow: FlowFiles,
    declared: Mapping[str, Any],
    environments: list[Environment],
    block: Mapping[str, Any],
) -> str:
    made: dict[str, Any] = {"sample": "sample.json", "expect": flow.answers}
    made |= {"connections": declared} if declared else {}
    made |= {"init": flow.init} if flow.init else {}
    made |= {"evaluation": block} if block else {}
    every = {one.name: one.settings for one in environments}
    return SCHEMA + _yaml({**made, "environments": {places.LOCAL: {"target": "local"}, **every}})


def _yaml(value: Any) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = WIDEST
    text = io.StringIO()
    yaml.dump(value, text)
    return text.getvalue()


def _environments(
    project: Project, environments: list[Environment], left: list[Note]
) -> tuple[str, tuple[str, ...]]:
    """Return what is appended to environments.yaml, and its environments; those there stay."""
    known = documents.load(project.root / config.ENVIRONMENTS).data
    added, text = [], ""
    if places.LOCAL not in known:
        added, text = [places.LOCAL], f"{places.LOCAL}: {{}}\n"
    for one in environments:
        if one.name not in known:
            added.append(one.name)
            text += f"# Imported from {one.where.partition(':')[0]}\n{_yaml({one.name: one.place})}"
            continue
        there = known[one.name] if isinstance(known[one.name], dict) else {}
        for key, value in one.place.items():
            if there.get(key) != value and not ("${" in value and key in there):
                has = "another value" if key in there else "none"
                what = f"environments.yaml has {has} for {one.name}.{key}, and stays as it is"
                then = f"theirs is {value}: write it there, or give the environment another name"
                left.append(Note(one.where, what, then))
    return text, tuple(added)


def _secrets(environments: Iterable[Environment]) -> dict[str, str]:
    return {
        name: f"a secret of the container in {one.name}"
        for one in environments
        for name in one.settings.get("env", {}).get("secret", ())
    }


def _unset(text: str) -> dict[str, str]:
    found = re.findall(r"\$\{(\w+)\}", text)
    return dict.fromkeys(found, "environments.yaml")


def _apart(flow: FlowFiles, judged: Mapping[str, File]) -> None:
    mine = sorted(set(flow.files) & set(judged))
    if mine:
        what = f"the evaluation would be written to {mine[0]}, which the flow has itself"
        raise DeployError(flow.files[mine[0]].origin, what, "rename it there")


def _refuse_secrets(files: Mapping[str, File]) -> None:
    """Raise `DeployError` with every secret in what would be copied; none is quoted."""
    hint = "take it out there, and make a new one: it is in their history"
    problems = []
    for file in files.values():
        for rule, start, _ in shapes.find(file.content):
            line = file.content.count(b"\n", 0, start) + 1
            where = file.origin if ":" in file.origin else f"{file.origin}:{line}"
            problems.append(Problem(where, f"this looks like {rule}; nothing was written", hint))
    if problems:
        raise DeployError.of(problems)
