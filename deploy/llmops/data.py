"""Data of theirs: rows of JSON Lines, a request out of one, and the file of an evaluation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from deploy.errors import DeployError
from deploy.llmops.model import Dataset, Note, UseCase
from deploy.llmops.source import inside, read_text

Row = dict[str, Any]
_COLUMN = re.compile(r"^\$\{data\.([^}]+)\}$")
ASSET = "azureml:"


def rows(use_case: UseCase, dataset: Dataset, left: list[Note]) -> list[Row]:
    """Return the rows of `dataset`; none, and a note, where they are not in the use case's folder.

    Raises `DeployError` for a line that is no JSON object.
    """
    if dataset.source.startswith(ASSET) or "://" in dataset.source:
        what, then = "these data are in Azure", "download them as JSON Lines"
        left.append(Note(dataset.where, what, then))
        return []
    path = inside(use_case.root, use_case.folder, dataset.source, dataset.where)
    if path.suffix != ".jsonl" or not path.is_file():
        what = "it is no JSON Lines" if path.is_file() else "this file is not there"
        left.append(Note(dataset.where, what, "write the data as one JSON object a line"))
        return []
    name = path.relative_to(use_case.root).as_posix()
    found = []
    for number, line in enumerate(read_text(use_case.root, path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise DeployError(f"{name}:{number}", "this is not JSON", "correct it there") from None
        if not isinstance(row, dict):
            what = "a JSON object is expected in each line"
            raise DeployError(f"{name}:{number}", what, "correct it there")
        found.append(row)
    return found


def request(mappings: Mapping[str, Any], row: Row, inputs: Mapping[str, Any]) -> Row | None:
    """Return the inputs of a flow out of `row`, None where the mappings do not fit."""
    values = {}
    for name, value in mappings.items():
        column = _COLUMN.match(str(value))
        if name not in inputs and inputs:
            return None
        if column and column[1] not in row:
            return None
        values[name] = row[column[1]] if column else value
    if not mappings:
        # As promptflow does: columns of the same names.
        values = {name: row[name] for name in inputs if name in row}
    lacking = [n for n, one in inputs.items() if n not in values and "default" not in (one or {})]
    return None if lacking or not values else values


def columns(mappings: Mapping[str, Any]) -> set[str]:
    """Return the columns of data that `mappings` name."""
    found = (_COLUMN.match(str(value)) for value in mappings.values())
    return {column[1] for column in found if column}


def joined(run: list[Row], test: list[Row], inputs: set[str]) -> tuple[list[Row], dict[str, str]]:
    """Join the data of a run and of its evaluation, row by row, as the template does.

    Columns of `inputs` are the run's. Returns the rows, and new names for columns of `test` that
    say something else there.
    """
    pairs = list(zip(run, test, strict=False))
    other = {
        name
        for mine, theirs in pairs
        for name in inputs & set(theirs)
        if mine.get(name) != theirs[name]
    }
    names = {name: f"expected_{name}" for name in sorted(other)}
    rows = [
        {**mine, **{names.get(name, name): value for name, value in theirs.items()}}
        for mine, theirs in pairs
    ]
    return rows, names


def renamed(mappings: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return `mappings` with the new `names` of columns."""
    return {
        name: _COLUMN.sub(lambda m: f"${{data.{names.get(m[1], m[1])}}}", value)
        if isinstance(value, str)
        else value
        for name, value in mappings.items()
    }


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """Return `value` as JSON and an end of line; half a surrogate pair as it is escaped there."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def lines(rows: list[Row]) -> bytes:
    """Return `rows` as JSON Lines."""
    return b"".join(json_bytes(row) for row in rows)
