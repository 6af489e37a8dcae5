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
    flow_signature: FlowSignature,
    data: DataSet | None,
    evaluated: FlowSignature | None,
    document: Document,
    key_path: KeyPath,
    problems: list[Problem],
) -> dict[str, Any]:
    """Return `inputs` completed with columns that have an input's name; add problems.

    `evaluated` is the signature of the flow whose answers may be referred to, None for that flow
    itself. `key_path` is the key in `document` that holds `inputs`. `data` is None if the rows
    cannot be read, which is reported elsewhere.
    """
    for name, source in inputs.items():
        location = document.where((*key_path, "inputs", name))
        if flow_signature.inputs is not None and name not in flow_signature.inputs:
            message = f"the flow has no input {name}"
            problems.append(
                Problem(location, message, suggest_nearest(name, flow_signature.inputs))
            )
        problems += _check_source(source, data, evaluated, location)
    complete_inputs = dict(inputs)
    if data is None:
        return complete_inputs
    for name, required in (flow_signature.inputs or {}).items():
        if name in inputs:
            continue
        rows_without = data.list_rows_without(name)
        if not rows_without:
            complete_inputs[name] = f"${{data.{name}}}"
        elif required and len(rows_without) == len(data.rows):
            hint = f"map it below inputs, for example `{name}: ${{data.‹column›}}`"
            message = (
                f"the input {name} has no source: it is not mapped, and no column has its name"
            )
            problems.append(Problem(document.where((*key_path, "inputs")), message, hint))
        elif required:
            problems += _list_missing_values(data, name, rows_without)
    return complete_inputs


def _check_source(
    source: Any, data: DataSet | None, evaluated: FlowSignature | None, location: str
) -> list[Problem]:
    """Return the problems of `source`, one value of a mapping."""
    if not (isinstance(source, str) and source.startswith("${")):
        return []
    reference = _REFERENCE.match(source)
    if not reference or (evaluated is None and reference[1] != "data"):
        hint = "${data.‹column›}"
        if evaluated is not None:
            hint += ", ${run.outputs.‹output›} or ${run.inputs.‹column›}"
        return [Problem(location, f"{source} is not a valid reference", f"write {hint}")]
    if reference[1] != "run.outputs":
        return _check_column(data, reference[2], location) if data else []
    if evaluated and evaluated.outputs is not None and reference[2] not in evaluated.outputs:
        message = f"the flow has no output {reference[2]}"
        return [
            Problem(location, message, suggest_nearest(reference[2], sorted(evaluated.outputs)))
        ]
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
        display_path(data.path), f"the column {column} is missing from {remaining} more rows"
    )
    return [*problems[:MAX_LISTED_ROWS], *([rest] if remaining > 0 else [])]


def _list_columns(data: DataSet) -> list[str]:
    return sorted({name for row in data.rows for name in row.values})
