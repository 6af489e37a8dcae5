"""Map each input of a flow to its source; check it against the rows and the flows' signatures.

References are promptflow's ("Use column mapping"): `${data.question}` is a column,
`${run.outputs.answer}` an output of the flow that is evaluated, and `${run.inputs.question}` a
column of its rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from deploy.core.errors import Problem, suggest_nearest
from deploy.core.yaml_files import Document, KeyPath, display_path
from deploy.evaluation.data import DataSet
from deploy.evaluation.signature import FlowSignature

_REFERENCE = re.compile(r"^\$\{(data|run\.inputs|run\.outputs)\.([^{}]+)\}$")
# Rows with a missing value that are reported one by one.
MAX_LISTED_ROWS = 5


def complete_mapping(
    inputs: Mapping[str, Any],
    interface: FlowSignature,
    data: DataSet | None,
    judged: FlowSignature | None,
    document: Document,
    at: KeyPath,
    problems: list[Problem],
) -> dict[str, Any]:
    """Return `inputs` completed with columns that have an input's name; add problems.

    `judged` is the signature of the flow whose answers may be referred to, None for that flow
    itself. `at` is the key in `document` that holds `inputs`. `data` is None if the rows cannot be
    read, which is reported elsewhere.
    """
    for name, source in inputs.items():
        location = document.where((*at, "inputs", name))
        if interface.inputs is not None and name not in interface.inputs:
            message = "the flow has no such input"
            problems.append(Problem(location, message, suggest_nearest(name, interface.inputs)))
        problems += _check_source(source, data, judged, location)
    complete_inputs = dict(inputs)
    if data is None:
        return complete_inputs
    for name, required in (interface.inputs or {}).items():
        if name in inputs:
            continue
        rows_without = data.list_rows_without(name)
        if not rows_without:
            complete_inputs[name] = f"${{data.{name}}}"
        elif required and len(rows_without) == len(data.rows):
            hint = f"say where it comes from: `{name}: ${{data.…}}` below inputs"
            message = f"nothing says where the input {name} comes from"
            problems.append(Problem(document.where((*at, "inputs")), message, hint))
        elif required:
            problems += _list_missing_values(data, name, rows_without)
    return complete_inputs


def _check_source(
    source: Any, data: DataSet | None, judged: FlowSignature | None, location: str
) -> list[Problem]:
    """Return the problems of `source`, one value of a mapping."""
    if not (isinstance(source, str) and source.startswith("${")):
        return []
    reference = _REFERENCE.match(source)
    if not reference or (judged is None and reference[1] != "data"):
        hint = "${data.‹column›}"
        if judged is not None:
            hint += ", ${run.outputs.‹output›} or ${run.inputs.‹column›}"
        return [Problem(location, f"{source} refers to nothing", f"write {hint}")]
    if reference[1] != "run.outputs":
        return _check_column(data, reference[2], location) if data else []
    if judged and judged.outputs is not None and reference[2] not in judged.outputs:
        message = f"the flow has no output {reference[2]}"
        return [Problem(location, message, suggest_nearest(reference[2], sorted(judged.outputs)))]
    return []


def _check_column(data: DataSet, column: str, location: str) -> list[Problem]:
    rows_without = data.list_rows_without(column)
    if len(rows_without) < len(data.rows):
        return _list_missing_values(data, column, rows_without)
    message = f"{display_path(data.path)} has no column {column}"
    return [Problem(location, message, suggest_nearest(column, _list_columns(data)))]


def _list_missing_values(data: DataSet, column: str, rows_without: Iterable[int]) -> list[Problem]:
    """Return a problem for each row without `column`; after a few, one for all the rest."""
    problems = [
        Problem(data.locate_row(index), f"the column {column} is missing") for index in rows_without
    ]
    remaining = len(problems) - MAX_LISTED_ROWS
    rest = Problem(
        display_path(data.path), f"the column {column} is missing in {remaining} more rows"
    )
    return [*problems[:MAX_LISTED_ROWS], *([rest] if remaining > 0 else [])]


def _list_columns(data: DataSet) -> list[str]:
    return sorted({name for row in data.rows for name in row.values})
