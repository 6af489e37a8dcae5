"""The connections of a flow of theirs as declarations that name variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from deploy.llmops.model import Declared, FlowFiles, Note
from deploy.llmops.source import Source
from deploy.runtime.connections import TYPES, is_variable

GUESS = "azure_open_ai"
_REFERENCE = re.compile(r"^\$\{(\w+)\}$")
# What the template calls the fields of ours, where it has another name.
_THEIRS = {"api_base": ("api_base", "api_endpoint"), "endpoint": ("endpoint", "api_endpoint")}


def declare(
    flows: Iterable[FlowFiles], declared: Iterable[Declared], guessed: list[Note]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return the declarations for what `flows` use, and the variables that hold the values.

    A variable is mapped to what it is for. Notes what was guessed.
    """
    known = {one.name: one for one in declared}
    found: dict[str, dict[str, Any]] = {}
    variables: dict[str, str] = {}
    for flow in flows:
        for name, (where, hint) in flow.connections.items():
            if name in found:
                continue
            theirs = known.get(name)
            kind = (theirs.type if theirs else None) or hint
            if kind is None:
                what = f"nothing tells the type of the connection {name}: {GUESS} is written"
                guessed.append(Note(where, what, "correct `type` in deploy.yaml"))
                kind = GUESS
            if kind == "custom" and theirs is None:
                what = f"nothing tells the fields of the custom connection {name}"
                guessed.append(Note(where, what, "name them under `configs` and `secrets`"))
            source = theirs.source if theirs else None
            guessed += _of_theirs(theirs)
            found[name] = _custom(name, source) if kind == "custom" else _of(name, kind, source)
            variables |= _variables(name, found[name], source)
    return found, variables


def _of_theirs(theirs: Declared | None) -> list[Note]:
    """Return a note where their entry has a type that nobody knows, or the value of a key."""
    notes = []
    if theirs and theirs.type is None:
        where = theirs.source.where("connection_type")
        what = f"this type of the connection {theirs.name} is not known here"
        notes.append(Note(where, what, "correct `type` in deploy.yaml"))
    if theirs and theirs.source.text("api_key").partition("{")[0] not in ("", "$"):
        what = "a key is written here: it is carried nowhere"
        notes.append(Note(theirs.source.where("api_key"), what, "make a new one"))
    return notes


def _of(name: str, kind: str, source: Source | None) -> dict[str, Any]:
    type_ = TYPES[kind]
    fields = [f for f in type_.endpoint if f not in type_.optional]
    made: dict[str, Any] = {"type": kind}
    for field in (*fields, *([type_.secret] if type_.secret else [])):
        keys = _THEIRS.get(field, (field,))
        value = next((source.text(key) for key in keys if source.has(key)), "") if source else ""
        made[field] = _variable(name, field, value)
    version = source.text("api_version") if source and "api_version" in type_.plain else ""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}(-preview)?", version):
        made["api_version"] = version
    return made


def _custom(name: str, source: Source | None) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "custom"}
    for group in ("configs", "secrets"):
        fields: Mapping[str, Any] = source.mapping(group) if source else {}
        if fields:
            made[group] = {key: _variable(name, key, str(fields[key])) for key in fields}
    return made


def _variable(name: str, field: str, value: str) -> str:
    """Return the variable that their file names, or one made of the connection's name."""
    named = _REFERENCE.match(value)
    if named and is_variable(named[1]):
        return named[1]
    made = re.sub(r"[^A-Z0-9]+", "_", f"{name}_{field}".upper()).strip("_")
    return made if made[0].isalpha() else f"CONNECTION_{made}"


def _variables(name: str, declaration: Mapping[str, Any], source: Source | None) -> dict[str, str]:
    """Return what each variable is for, and where their files describe the connection."""
    pairs = [(key, value) for key, value in declaration.items() if isinstance(value, str)]
    for group in ("configs", "secrets"):
        pairs += declaration.get(group, {}).items()
    plain = ("type", "api_version")
    said = f" ({source.where().partition(': ')[0]})" if source else ""
    return {value: f"{key} of {name}{said}" for key, value in pairs if key not in plain}
