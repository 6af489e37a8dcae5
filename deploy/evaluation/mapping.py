"""Where each input of a flow comes from: checked against the rows, the flow and its answers.

References are promptflow's ("Use column mapping"): `${data.question}` is a column,
`${run.outputs.answer}` an output of the flow that is evaluated, and `${run.inputs.question}` a
column of its rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from deploy.documents import Document, KeyPath, show
from deploy.errors import Problem
from deploy.evaluation.data import DataSet
from deploy.evaluation.interface import Interface
from deploy.validation import nearest

_REFERENCE = re.compile(r"^\$\{(data|run\.inputs|run\.outputs)\.([^{}]+)\}$")
# So many rows are named one by one.
NAMED = 5


def complete(
    given: Mapping[str, Any],
    interface: Interface,
    data: DataSet | None,
    judged: Interface | None,
    document: Document,
    at: KeyPath,
    problems: list[Problem],
) -> dict[str, Any]:
    """Return `given` with the columns that have the names of inputs; add what is wrong.

    `judged` is the flow whose answers may be referred to, None for that flow itself. `at` is where
    the mapping, or what it belongs to, stands in `document`. `data` is None where the rows cannot
    be read, which is said elsewhere.
    """
    for name, source in given.items():
        where = document.where((*at, "inputs", name))
        if interface.inputs is not None and name not in interface.inputs:
            what = "the flow has no such input"
            problems.append(Problem(where, what, nearest(name, interface.inputs)))
        problems += _wrong(source, data, judged, where)
    whole = dict(given)
    if data is None:
        return whole
    for name, needed in (interface.inputs or {}).items():
        if name in given:
            continue
        lacking = data.lacking(name)
        if not lacking:
            whole[name] = f"${{data.{name}}}"
        elif needed and len(lacking) == len(data.rows):
            hint = f"say where it comes from: `{name}: ${{data.…}}` below inputs"
            what = f"nothing says where the input {name} comes from"
            problems.append(Problem(document.where((*at, "inputs")), what, hint))
        elif needed:
            problems += _gaps(data, name, lacking)
    return whole


def _wrong(
    source: Any, data: DataSet | None, judged: Interface | None, where: str
) -> list[Problem]:
    """Return what is wrong with `source`, one value of a mapping."""
    if not (isinstance(source, str) and source.startswith("${")):
        return []
    found = _REFERENCE.match(source)
    if not found or (judged is None and found[1] != "data"):
        hint = "${data.‹column›}"
        if judged is not None:
            hint += ", ${run.outputs.‹output›} or ${run.inputs.‹column›}"
        return [Problem(where, f"{source} refers to nothing", f"write {hint}")]
    if found[1] != "run.outputs":
        return _no_column(data, found[2], where) if data else []
    if judged and judged.outputs is not None and found[2] not in judged.outputs:
        what = f"the flow has no output {found[2]}"
        return [Problem(where, what, nearest(found[2], sorted(judged.outputs)))]
    return []


def _no_column(data: DataSet, column: str, where: str) -> list[Problem]:
    lacking = data.lacking(column)
    if len(lacking) < len(data.rows):
        return _gaps(data, column, lacking)
    what = f"{show(data.path)} has no column {column}"
    return [Problem(where, what, nearest(column, _columns(data)))]


def _gaps(data: DataSet, column: str, lacking: Iterable[int]) -> list[Problem]:
    """Return a problem for each row that has no `column`; beyond a few, one for the rest."""
    every = [Problem(data.where(index), f"the column {column} is missing") for index in lacking]
    more = len(every) - NAMED
    rest = Problem(show(data.path), f"the column {column} is missing in {more} more rows")
    return [*every[:NAMED], *([rest] if more > 0 else [])]


def _columns(data: DataSet) -> list[str]:
    return sorted({name for row in data.rows for name in row.values})
