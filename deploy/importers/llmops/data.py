"""Data of the use case: rows of JSON Lines, a sample request and evaluation data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from deploy.core.errors import DeployError
from deploy.importers.llmops.entities import Dataset, Note, UseCase
from deploy.importers.llmops.source import read_text, resolve_path

Row = dict[str, Any]
_COLUMN = re.compile(r"^\$\{data\.([^}]+)\}$")
AZUREML_ASSET_PREFIX = "azureml:"


def read_rows(use_case: UseCase, dataset: Dataset, unsupported_notes: list[Note]) -> list[Row]:
    """Return the rows of `dataset`; an empty list, with a note, if the file is not available.

    Raise `DeployError` for a line that is not a JSON object.
    """
    if dataset.source.startswith(AZUREML_ASSET_PREFIX) or "://" in dataset.source:
        what, then = "these data are in Azure", "download them as JSON Lines"
        unsupported_notes.append(Note(dataset.where, what, then))
        return []
    path = resolve_path(use_case.root, use_case.folder, dataset.source, dataset.where)
    if path.suffix != ".jsonl" or not path.is_file():
        what = "it is not JSON Lines" if path.is_file() else "this file does not exist"
        unsupported_notes.append(
            Note(dataset.where, what, "write the data as one JSON object a line")
        )
        return []
    name = path.relative_to(use_case.root).as_posix()
    rows = []
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
        rows.append(row)
    return rows


def build_request(mappings: Mapping[str, Any], row: Row, inputs: Mapping[str, Any]) -> Row | None:
    """Return a flow's inputs from `row`, or None if the mappings do not match."""
    values = {}
    for name, value in mappings.items():
        column = _COLUMN.match(str(value))
        if name not in inputs and inputs:
            return None
        if column and column[1] not in row:
            return None
        values[name] = row[column[1]] if column else value
    if not mappings:
        # Like promptflow, use the columns with the inputs' names.
        values = {name: row[name] for name in inputs if name in row}
    missing = [
        n
        for n, declaration in inputs.items()
        if n not in values and "default" not in (declaration or {})
    ]
    return None if missing or not values else values


def list_columns(mappings: Mapping[str, Any]) -> set[str]:
    """Return the data columns that `mappings` refer to."""
    matches = (_COLUMN.match(str(value)) for value in mappings.values())
    return {column[1] for column in matches if column}


def join_rows(
    run: list[Row], test: list[Row], inputs: set[str]
) -> tuple[list[Row], dict[str, str]]:
    """Return the joined rows of a run's data and its evaluation's data, as the template joins them.

    Columns in `inputs` keep the run's values. Also return the new names for columns of `test` that
    have other values than the run.
    """
    pairs = list(zip(run, test, strict=False))
    conflicting = {
        name
        for run_row, test_row in pairs
        for name in inputs & set(test_row)
        if run_row.get(name) != test_row[name]
    }
    names = {name: f"expected_{name}" for name in sorted(conflicting)}
    rows = [
        {**run_row, **{names.get(name, name): value for name, value in test_row.items()}}
        for run_row, test_row in pairs
    ]
    return rows, names


def rename_columns(mappings: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return `mappings` with data columns renamed by `names`."""
    return {
        name: _COLUMN.sub(lambda m: f"${{data.{names.get(m[1], m[1])}}}", value)
        if isinstance(value, str)
        else value
        for name, value in mappings.items()
    }


def encode_json(value: Any, indent: int | None = None) -> bytes:
    """Return `value` as JSON with a final line break; half a surrogate pair stays escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return f"{text}\n".encode("utf-8", "backslashreplace")


def encode_json_lines(rows: list[Row]) -> bytes:
    """Return `rows` as JSON Lines."""
    return b"".join(encode_json(row) for row in rows)
