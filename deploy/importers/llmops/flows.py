"""A flow's folder in the source repository: the files to copy, and what they declare."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import kinds
from deploy.config.rules import find_secrets
from deploy.core import yaml_files
from deploy.core.errors import DeployError
from deploy.core.yaml_files import Document
from deploy.importers.llmops import python_code
from deploy.importers.llmops.entities import File, FlowFiles, Note
from deploy.importers.llmops.source import read_bytes, read_text, resolve_path

# Files that the import generates itself, and leftovers of tools.
_GENERATED_FILES = ("deploy.yaml", "requirements.lock", "requirements.txt", "sample.json")
_IGNORED_SUFFIXES = (".pyc", ".env", "__pycache__")
_FRONT_MATTER = re.compile(r"\A\s*---\s*\n(.*?)\n---\s*(\n|\Z)", re.DOTALL)
# The key `additional_includes` and the lines of its list.
_INCLUDES = re.compile(
    r"^additional_includes:.*\n(?:[ \t]*-.*\n|[ \t]+.*\n|[ \t]*\n)*", re.MULTILINE
)
AZURE_OPEN_AI = "azure_open_ai"
# Output types of a DAG flow ("Flow YAML Schema") → types of `expect` in deploy.yaml.
OUTPUT_TYPES = {
    "string": "string",
    "int": "integer",
    "double": "number",
    "bool": "boolean",
    "list": "list",
    "object": "object",
}


def find_folder(root: Path, use_case: Path, path: str, where: str) -> Path:
    """Return the folder of the flow that the configuration at `where` names as `path`.

    Like the template, look into flows/ first. Raise `DeployError` if the folder does not exist.
    """
    for base in (use_case / "flows", use_case):
        resolved = resolve_path(root, base, path, where)
        # Some configurations name the flow's file.
        folder = resolved.parent if resolved.is_file() else resolved
        if folder.is_dir() and folder != use_case:
            if folder.resolve() != folder:
                raise DeployError(
                    where, f"{path} is a symbolic link", "put the folder itself there"
                )
            return folder
    what = f"there is no folder {path} in {use_case.relative_to(root).as_posix()}"
    raise DeployError(where, what, "correct the path")


def read_flow(root: Path, use_case: Path, folder: Path) -> FlowFiles:
    """Return the flow in `folder`. Raise `DeployError` if it is not a flow, or has secrets."""
    try:
        kind, entry = kinds.detect_kind(folder)
    except DeployError as error:
        problem = error.problems[0]
        name = folder.relative_to(root).as_posix()
        raise DeployError(name, problem.what, problem.hint) from None
    document, text = _entry(root, folder / entry, kind)
    if problems := find_secrets(document):
        raise DeployError.from_problems(problems)
    unsupported_notes: list[Note] = []
    files = _files(root, folder, unsupported_notes)
    data = document.data
    if kind == "dag" and data.get("additional_includes"):
        _add_includes(root, use_case, folder, document, files)
        files[entry] = File(_remove_includes(text).encode(), files[entry].origin)
    unsupported_notes += [
        Note(
            document.where(("node_variants", node)),
            "only the default variant is served",
            "keep the others, or select one with `default_variant_id`",
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
        expected_answer=_infer_expected_answer(kind, data),
        unsupported=tuple(unsupported_notes),
    )


def parse_json(file: File) -> dict[str, Any]:
    """Return the JSON object in `file`. Raise `DeployError` if its content is anything else."""
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
    """Return whether `flow` needs promptflow-tools: for an LLM or prompt node, or an import."""
    if flow.kind == "dag" and re.search(
        rb"\btype: *[\"']?(llm|prompt)\b|\bpromptflow\.tools\b", flow.files[flow.entry].content
    ):
        return True
    python = [file.content for name, file in flow.files.items() if name.endswith(".py")]
    return any(
        python_code.has_tools_import(content.decode("utf-8", "replace")) for content in python
    )


def _entry(root: Path, path: Path, kind: str) -> tuple[Document, str]:
    text = read_text(root, path)
    name = path.relative_to(root)
    if kind != "prompty":
        return yaml_files.parse(name, text), text
    front = _FRONT_MATTER.match(text)
    if not front:
        raise DeployError(
            f"{name.as_posix()}:1", "its front matter between two lines --- is missing"
        )
    # A first line in place of --- keeps the line numbers right.
    return yaml_files.parse(name, f"#\n{front[1]}\n"), text


def _files(root: Path, folder: Path, unsupported_notes: list[Note]) -> dict[str, File]:
    files = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if parts[0] in _GENERATED_FILES or any(
            p.startswith(".") or p.endswith(_IGNORED_SUFFIXES) for p in parts
        ):
            continue
        if path.is_dir() and not path.is_symlink():
            continue
        name, origin = "/".join(parts), path.relative_to(root).as_posix()
        content = read_bytes(root, path)
        if b"Connection.schema.json" in content and path.suffix in (".yaml", ".yml"):
            what = "connections are created from variables, and this file may contain a key"
            unsupported_notes.append(Note(origin, what, "put the values into .env"))
            continue
        files[name] = File(content, origin)
        if path.suffix == ".py":
            # `surrogateescape` keeps bytes that are not UTF-8 unchanged.
            rewritten, notes = python_code.rewrite_imports(
                content.decode("utf-8", "surrogateescape"), origin
            )
            files[name] = File(rewritten.encode("utf-8", "surrogateescape"), origin)
            unsupported_notes += notes
    return files


def _add_includes(
    root: Path, use_case: Path, folder: Path, document: Document, files: dict[str, File]
) -> None:
    """Copy the flow's `additional_includes` into it, as promptflow does for a run."""
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
            raise DeployError(where, f"{include} is outside of {name}", "move it there")
        included = resolve_path(root, start, "/".join(parts), where)
        if included.is_dir():
            for name, file in _files(root, included, []).items():
                files.setdefault(f"{included.name}/{name}", file)
        elif included.is_file():
            origin = included.relative_to(root).as_posix()
            files.setdefault(included.name, File(read_bytes(root, included), origin))
        else:
            raise DeployError(where, f"{include} does not exist", "correct the path")


def _remove_includes(text: str) -> str:
    """Return a flow.dag.yaml without its `additional_includes`; keep all other text."""
    return _INCLUDES.sub("", text)


def _connections(
    document: Document, files: Mapping[str, File], kind: str, init: Mapping[str, Any]
) -> dict[str, tuple[str, str | None]]:
    if kind == "flex":
        return _find_init_connections(document, init)
    connections: dict[str, tuple[str, str | None]] = {}
    for keys, name in document.strings():
        key = str(keys[-1])
        if "connection" not in key.lower() or not name or "${" in name:
            continue
        if kind == "dag" and keys[0] not in ("nodes", "node_variants"):
            continue
        connection_type = _detect_connection_type(document, keys[:-1], key, files)
        where, previous_type = connections.get(name, (document.where(keys), None))
        connections[name] = (where, previous_type or connection_type)
    return connections


def _find_init_connections(
    document: Document, init: Mapping[str, Any]
) -> dict[str, tuple[str, str | None]]:
    """Return the connections in the constructor arguments of a flex flow's class."""
    return {
        value["connection"]: (document.where(("init", name)), AZURE_OPEN_AI)
        for name, value in init.items()
        if isinstance(value, dict) and isinstance(value.get("connection"), str)
    }


def _detect_connection_type(
    document: Document, keys: tuple[str | int, ...], key: str, files: Mapping[str, File]
) -> str | None:
    """Return the type of a node's connection if the node or its code specifies it."""
    if keys[:2] == ("model", "configuration"):
        model = document.data["model"]["configuration"]
        return "open_ai" if model.get("type") == "openai" else AZURE_OPEN_AI
    node: Any = document.data
    for step in keys[:-1] if keys[-1:] == ("inputs",) else keys:
        node = node[step]
    if not isinstance(node, dict):
        return None
    provider = {"AzureOpenAI": AZURE_OPEN_AI, "OpenAI": "open_ai"}.get(str(node.get("provider")))
    source = node.get("source")
    path = source.get("path") if isinstance(source, dict) else None
    if provider or not isinstance(path, str) or path not in files:
        return provider
    return python_code.detect_connection_type(files[path].content.decode("utf-8", "replace"), key)


def _init(kind: str, document: Document, files: Mapping[str, File]) -> dict[str, Any]:
    """Return the constructor arguments of a flex flow's class, except values for variables."""
    if kind != "flex":
        return {}
    values = {
        name: declaration["default"]
        for name, declaration in _mapping(document.data, "init").items()
        if isinstance(declaration, dict) and "default" in declaration
    }
    if "init.json" in files:
        # The template's scripts pass these arguments.
        values |= parse_json(files["init.json"])
    return {name: _remove_connection_values(value) for name, value in values.items()}


def _remove_connection_values(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {k: v for k, v in value.items() if k not in ("azure_endpoint", "api_key", "base_url")}


def _infer_expected_answer(kind: str, data: Mapping[str, Any]) -> Any:
    """Return the type of a valid answer, as `expect` of deploy.yaml."""
    if kind == "prompty":
        parameters = _mapping(_mapping(data, "model"), "parameters")
        return "object" if "response_format" in parameters else "string"
    outputs = {
        name: OUTPUT_TYPES.get(str(output.get("type")))
        for name, output in _mapping(data, "outputs").items()
        if isinstance(output, dict)
    }
    if kind == "flex" and set(outputs) <= {"output"}:
        # promptflow calls the single value that such a flow returns `output`.
        return outputs.get("output") or "string"
    return {name: kind for name, kind in outputs.items() if kind} or "object"


def _mapping(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}
