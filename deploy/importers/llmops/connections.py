"""Convert the connections of a flow to declarations that name variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from deploy.importers.llmops.entities import DeclaredConnection, FlowFiles, Note
from deploy.importers.llmops.source import Source
from deploy.server.connections import CONNECTION_TYPES, is_variable_name

DEFAULT_TYPE = "azure_open_ai"
_REFERENCE = re.compile(r"^\$\{(\w+)\}$")
# The template's names for fields that have another name here.
_FIELD_ALIASES = {
    "api_base": ("api_base", "api_endpoint"),
    "endpoint": ("endpoint", "api_endpoint"),
}


def declare_connections(
    flows: Iterable[FlowFiles], declared: Iterable[DeclaredConnection], assumptions: list[Note]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return the declarations for the connections of `flows`, and the purpose of each variable.

    Append a note to `assumptions` for each guess.
    """
    declared_by_name = {connection.name: connection for connection in declared}
    declarations: dict[str, dict[str, Any]] = {}
    variables: dict[str, str] = {}
    for flow in flows:
        for name, (where, hint) in flow.connections.items():
            if name in declarations:
                continue
            declared_connection = declared_by_name.get(name)
            kind = (declared_connection.type if declared_connection else None) or hint
            if kind is None:
                what = f"the type of the connection {name} is unknown: {DEFAULT_TYPE} is written"
                assumptions.append(Note(where, what, "correct `type` in deploy.yaml"))
                kind = DEFAULT_TYPE
            if kind == "custom" and declared_connection is None:
                what = f"the fields of this custom connection are unknown: {name}"
                assumptions.append(Note(where, what, "name them under `configs` and `secrets`"))
            source = declared_connection.source if declared_connection else None
            assumptions += _note_declaration_problems(declared_connection)
            declarations[name] = (
                _custom(name, source)
                if kind == "custom"
                else _build_declaration(name, kind, source)
            )
            variables |= _variables(name, declarations[name], source)
    return declarations, variables


def _note_declaration_problems(connection: DeclaredConnection | None) -> list[Note]:
    """Return notes for an unknown connection type, and for a key in the source file."""
    notes = []
    if connection and connection.type is None:
        where = connection.source.where("connection_type")
        what = f"this type of the connection {connection.name} is not supported"
        notes.append(Note(where, what, "correct `type` in deploy.yaml"))
    if connection and connection.source.get_text("api_key").partition("{")[0] not in ("", "$"):
        what = "this is a key, which is not imported"
        notes.append(Note(connection.source.where("api_key"), what, "create a new key"))
    return notes


def _build_declaration(name: str, kind: str, source: Source | None) -> dict[str, Any]:
    connection_type = CONNECTION_TYPES[kind]
    fields = [f for f in connection_type.endpoint if f not in connection_type.optional]
    declaration: dict[str, Any] = {"type": kind}
    for field in (*fields, *([connection_type.secret] if connection_type.secret else [])):
        keys = _FIELD_ALIASES.get(field, (field,))
        value = (
            next((source.get_text(key) for key in keys if source.has(key)), "") if source else ""
        )
        declaration[field] = _variable(name, field, value)
    version = (
        source.get_text("api_version") if source and "api_version" in connection_type.plain else ""
    )
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}(-preview)?", version):
        declaration["api_version"] = version
    return declaration


def _custom(name: str, source: Source | None) -> dict[str, Any]:
    declaration: dict[str, Any] = {"type": "custom"}
    for group in ("configs", "secrets"):
        fields: Mapping[str, Any] = source.get_mapping(group) if source else {}
        if fields:
            declaration[group] = {key: _variable(name, key, str(fields[key])) for key in fields}
    return declaration


def _variable(name: str, field: str, value: str) -> str:
    """Return the variable that the source file names, or one derived from the connection's name."""
    reference = _REFERENCE.match(value)
    if reference and is_variable_name(reference[1]):
        return reference[1]
    generated = re.sub(r"[^A-Z0-9]+", "_", f"{name}_{field}".upper()).strip("_")
    return generated if generated[0].isalpha() else f"CONNECTION_{generated}"


def _variables(name: str, declaration: Mapping[str, Any], source: Source | None) -> dict[str, str]:
    """Return the purpose of each variable, and where the source files describe the connection."""
    pairs = [(key, value) for key, value in declaration.items() if isinstance(value, str)]
    for group in ("configs", "secrets"):
        pairs += declaration.get(group, {}).items()
    plain = ("type", "api_version")
    location = f" ({source.where().partition(': ')[0]})" if source else ""
    return {value: f"{key} of {name}{location}" for key, value in pairs if key not in plain}
