"""A flow's folder of theirs: the files that are carried, and what they tell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import documents, kinds
from deploy.checks import secrets_in
from deploy.documents import Document
from deploy.errors import DeployError
from deploy.llmops import code
from deploy.llmops.model import File, FlowFiles, Note
from deploy.llmops.source import inside, read_bytes, read_text

# What is made anew, and what tools leave behind.
_MADE = ("deploy.yaml", "requirements.lock", "requirements.txt", "sample.json")
_ENDINGS = (".pyc", ".env", "__pycache__")
_FRONT = re.compile(r"\A\s*---\s*\n(.*?)\n---\s*(\n|\Z)", re.DOTALL)
# The key, and the lines of its list.
_INCLUDES = re.compile(
    r"^additional_includes:.*\n(?:[ \t]*-.*\n|[ \t]+.*\n|[ \t]*\n)*", re.MULTILINE
)
AZURE = "azure_open_ai"
# Types of outputs of a DAG flow ("Flow YAML Schema"), and ours of answers.
TYPES = {
    "string": "string",
    "int": "integer",
    "double": "number",
    "bool": "boolean",
    "list": "list",
    "object": "object",
}


def find(root: Path, use_case: Path, path: str, where: str) -> Path:
    """Return the folder of the flow that `where` names as `path`.

    The template looks into flows/ first. Raises `DeployError` where there is none.
    """
    for base in (use_case / "flows", use_case):
        found = inside(root, base, path, where)
        # Some name the flow's file.
        folder = found.parent if found.is_file() else found
        if folder.is_dir() and folder != use_case:
            if folder.resolve() != folder:
                raise DeployError(where, f"{path} is a link", "put the folder itself there")
            return folder
    what = f"there is no folder {path} in {use_case.relative_to(root).as_posix()}"
    raise DeployError(where, what, "correct the path")


def read(root: Path, use_case: Path, folder: Path) -> FlowFiles:
    """Read the flow in `folder`. Raises `DeployError` where it is none, or may not be copied."""
    try:
        kind, entry = kinds.detect(folder)
    except DeployError as error:
        problem = error.problems[0]
        name = folder.relative_to(root).as_posix()
        raise DeployError(name, problem.what, problem.hint) from None
    document, text = _entry(root, folder / entry, kind)
    if problems := secrets_in(document):
        raise DeployError.of(problems)
    left: list[Note] = []
    files = _files(root, folder, left)
    data = document.data
    if kind == "dag" and data.get("additional_includes"):
        _include(root, use_case, folder, document, files)
        files[entry] = File(_without_includes(text).encode(), files[entry].origin)
    left += [
        Note(
            document.where(("node_variants", node)),
            "the default variant is what is served; nothing runs the others",
            "keep them, or try one by `default_variant_id`",
        )
        for node, variants in _mapping(data, "node_variants").items()
        if isinstance(variants, dict) and len(_mapping(variants, "variants")) > 1
    ]
    init = _init(kind, document, files)
    return FlowFiles(
        name=folder.name,
        kind=kind,
        entry=entry,
        files=files,
        inputs=_mapping(data, "inputs"),
        outputs=_mapping(data, "outputs"),
        init=init,
        connections=_connections(document, files, kind, init),
        answers=_answers(kind, data),
        left=tuple(left),
    )


def parse_json(file: File) -> dict[str, Any]:
    """Return the JSON object in `file`. Raises `DeployError` where it is none."""
    try:
        data = json.loads(file.content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        where = f"{file.origin}:{getattr(error, 'lineno', 1)}"
        what = f"this is not JSON: {getattr(error, 'msg', 'it cannot be read')}"
        raise DeployError(where, what, "correct it there") from None
    if not isinstance(data, dict):
        raise DeployError(f"{file.origin}:1", "a JSON object is expected", "correct it there")
    return data


def needs_tools(flow: FlowFiles) -> bool:
    """Tell whether `flow` needs promptflow-tools: for an LLM node, a prompt node, or by import."""
    if flow.kind == "dag" and re.search(
        rb"\btype: *[\"']?(llm|prompt)\b|\bpromptflow\.tools\b", flow.files[flow.entry].content
    ):
        return True
    python = [one.content for name, one in flow.files.items() if name.endswith(".py")]
    return any(code.imports_tools(content.decode("utf-8", "replace")) for content in python)


def _entry(root: Path, path: Path, kind: str) -> tuple[Document, str]:
    text = read_text(root, path)
    name = path.relative_to(root)
    if kind != "prompty":
        return documents.parse(name, text), text
    front = _FRONT.match(text)
    if not front:
        raise DeployError(f"{name.as_posix()}:1", "its head between two lines --- is missing")
    # The line of the first --- counts, too.
    return documents.parse(name, f"#\n{front[1]}\n"), text


def _files(root: Path, folder: Path, left: list[Note]) -> dict[str, File]:
    files = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if parts[0] in _MADE or any(p.startswith(".") or p.endswith(_ENDINGS) for p in parts):
            continue
        if path.is_dir() and not path.is_symlink():
            continue
        name, origin = "/".join(parts), path.relative_to(root).as_posix()
        content = read_bytes(root, path)
        if b"Connection.schema.json" in content and path.suffix in (".yaml", ".yml"):
            what = "a connection is made from variables here, and its file may hold a key"
            left.append(Note(origin, what, "put the values into .env"))
            continue
        files[name] = File(content, origin)
        if path.suffix == ".py":
            # As they are, unless it is UTF-8 that something is found in.
            moved, notes = code.moved(content.decode("utf-8", "surrogateescape"), origin)
            files[name] = File(moved.encode("utf-8", "surrogateescape"), origin)
            left += notes
    return files


def _include(
    root: Path, use_case: Path, folder: Path, document: Document, files: dict[str, File]
) -> None:
    """Copy what the flow includes into it, as promptflow does when it runs one."""
    includes = document.data["additional_includes"]
    if not isinstance(includes, list):
        raise DeployError(document.where(("additional_includes",)), "a list of paths is expected")
    for index, include in enumerate(includes):
        where = document.where(("additional_includes", index))
        start = folder
        parts = str(include).replace("\\", "/").split("/")
        while parts and parts[0] in ("..", "."):
            start = start.parent if parts[0] == ".." else start
            parts = parts[1:]
        if not start.is_relative_to(use_case):
            name = use_case.relative_to(root).as_posix()
            raise DeployError(where, f"{include} leads out of {name}", "move it there")
        found = inside(root, start, "/".join(parts), where)
        if found.is_dir():
            for name, file in _files(root, found, []).items():
                files.setdefault(f"{found.name}/{name}", file)
        elif found.is_file():
            origin = found.relative_to(root).as_posix()
            files.setdefault(found.name, File(read_bytes(root, found), origin))
        else:
            raise DeployError(where, f"{include} is not there", "correct the path")


def _without_includes(text: str) -> str:
    """Return a flow.dag.yaml without the block of its additional includes; the rest as it is."""
    return _INCLUDES.sub("", text)


def _connections(
    document: Document, files: Mapping[str, File], kind: str, init: Mapping[str, Any]
) -> dict[str, tuple[str, str | None]]:
    if kind == "flex":
        return _of_init(document, init)
    found: dict[str, tuple[str, str | None]] = {}
    for keys, name in document.texts():
        key = str(keys[-1])
        if "connection" not in key.lower() or not name or "${" in name:
            continue
        if kind == "dag" and keys[0] not in ("nodes", "node_variants"):
            continue
        known = _type(document, keys[:-1], key, files)
        where, before = found.get(name, (document.where(keys), None))
        found[name] = (where, before or known)
    return found


def _of_init(document: Document, init: Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Return the connections that a flex flow's class is made with."""
    return {
        value["connection"]: (document.where(("init", name)), AZURE)
        for name, value in init.items()
        if isinstance(value, dict) and isinstance(value.get("connection"), str)
    }


def _type(
    document: Document, keys: tuple[str | int, ...], key: str, files: Mapping[str, File]
) -> str | None:
    """Return the type of a connection of a node, where the node or its code tells."""
    if keys[:2] == ("model", "configuration"):
        model = document.data["model"]["configuration"]
        return "open_ai" if model.get("type") == "openai" else AZURE
    node: Any = document.data
    for step in keys[:-1] if keys[-1:] == ("inputs",) else keys:
        node = node[step]
    if not isinstance(node, dict):
        return None
    provider = {"AzureOpenAI": AZURE, "OpenAI": "open_ai"}.get(str(node.get("provider")))
    source = node.get("source")
    path = source.get("path") if isinstance(source, dict) else None
    if provider or not isinstance(path, str) or path not in files:
        return provider
    return code.connection_type(files[path].content.decode("utf-8", "replace"), key)


def _init(kind: str, document: Document, files: Mapping[str, File]) -> dict[str, Any]:
    """Return what a flex flow's class is made with, without what variables hold."""
    if kind != "flex":
        return {}
    values = {
        name: one["default"]
        for name, one in _mapping(document.data, "init").items()
        if isinstance(one, dict) and "default" in one
    }
    if "init.json" in files:
        # What the template's scripts make it with.
        values |= parse_json(files["init.json"])
    return {name: _without_values(value) for name, value in values.items()}


def _without_values(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {k: v for k, v in value.items() if k not in ("azure_endpoint", "api_key", "base_url")}


def _answers(kind: str, data: Mapping[str, Any]) -> Any:
    """Return what a good answer looks like: as deploy.yaml's `expect`."""
    if kind == "prompty":
        parameters = _mapping(_mapping(data, "model"), "parameters")
        return "object" if "response_format" in parameters else "string"
    outputs = {
        name: TYPES.get(str(one.get("type")))
        for name, one in _mapping(data, "outputs").items()
        if isinstance(one, dict)
    }
    if kind == "flex" and set(outputs) <= {"output"}:
        # promptflow's name for the one value that such a flow returns.
        return outputs.get("output") or "string"
    return {name: kind for name, kind in outputs.items() if kind} or "object"


def _mapping(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}
