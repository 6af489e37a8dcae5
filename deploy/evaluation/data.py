"""A data set: one JSON object a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import documents
from deploy.documents import show
from deploy.errors import DeployError, Problem

# What promptflow's batch run keeps for itself.
RESERVED = "line_number"


@dataclass(frozen=True)
class Row:
    """One row, and its line in the file, from 1."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class DataSet:
    """All rows of a file; at least one."""

    path: Path
    rows: tuple[Row, ...]

    @property
    def content(self) -> bytes:
        """The rows as JSON lines, without the empty lines of the file."""
        return b"".join(json.dumps(row.values).encode() + b"\n" for row in self.rows)

    @property
    def digest(self) -> str:
        """A hash of the rows, by which two runs know that they were asked the same."""
        return hashlib.sha256(self.content).hexdigest()[:12]

    def where(self, index: int) -> str:
        """Return `file:line` of the row `index`, from 0."""
        return f"{show(self.path)}:{self.rows[index].line}"

    def lacking(self, column: str) -> list[int]:
        """Return the rows that do not have `column`."""
        return [index for index, row in enumerate(self.rows) if column not in row.values]


def read(path: Path) -> DataSet:
    """Return the rows of `path`. Raises `DeployError` with every line that is no JSON object."""
    rows, problems = [], []
    # Not `splitlines`: a JSON text may hold a separator that Python takes for the end of a line.
    for number, line in enumerate(documents.read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            what = f"this is not JSON: {getattr(error, 'msg', error)}"
            problems.append(Problem(f"{show(path)}:{number}", what, "write one object a line"))
            continue
        if not isinstance(values, dict):
            problems.append(Problem(f"{show(path)}:{number}", "a JSON object is expected"))
        elif RESERVED in values:
            what = f"promptflow keeps the column {RESERVED} for itself"
            problems.append(Problem(f"{show(path)}:{number}", what, "give it another name"))
        else:
            rows.append(Row(number, values))
    if not (rows or problems):
        hint = "write one JSON object a line"
        problems.append(Problem(show(path), "there is no row in this file", hint))
    if problems:
        raise DeployError.of(problems)
    return DataSet(path, tuple(rows))


def _refuse(constant: str) -> None:
    """Refuse NaN and its like, which no request can have (docs/container.md)."""
    raise ValueError(f"{constant} is no value")
