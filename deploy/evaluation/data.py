"""Read a data set: a file with one JSON object per line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.core import yaml_files
from deploy.core.errors import DeployError, Problem
from deploy.core.yaml_files import display_path

# promptflow's batch run reserves this column.
RESERVED_COLUMN = "line_number"


@dataclass(frozen=True)
class Row:
    """A row of a data set."""

    # The line in the file, from 1.
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
        """A hash of the rows: two runs with the same digest had the same rows."""
        return hashlib.sha256(self.content).hexdigest()[:12]

    def locate_row(self, index: int) -> str:
        """Return `file:line` of the row `index`, from 0."""
        return f"{display_path(self.path)}:{self.rows[index].line}"

    def list_rows_without(self, column: str) -> list[int]:
        """Return the rows that do not have `column`."""
        return [index for index, row in enumerate(self.rows) if column not in row.values]


def read_data_set(path: Path) -> DataSet:
    """Return the rows of `path`. Raise `DeployError` with every line that is no JSON object."""
    rows, problems = [], []
    # Not `splitlines`: JSON strings may contain separators that it treats as line ends.
    for number, line in enumerate(yaml_files.read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line, parse_constant=_reject_constant)
        except (ValueError, RecursionError) as error:
            message = f"this line is not valid JSON: {getattr(error, 'msg', error)}"
            problems.append(
                Problem(f"{display_path(path)}:{number}", message, "write one JSON object per line")
            )
            continue
        if not isinstance(values, dict):
            problems.append(
                Problem(f"{display_path(path)}:{number}", "this line is not a JSON object")
            )
        elif RESERVED_COLUMN in values:
            message = f"promptflow reserves the column {RESERVED_COLUMN}"
            problems.append(Problem(f"{display_path(path)}:{number}", message, "rename the column"))
        else:
            rows.append(Row(number, values))
    if not (rows or problems):
        hint = "write one JSON object per line"
        problems.append(Problem(display_path(path), "the file has no rows", hint))
    if problems:
        raise DeployError.from_problems(problems)
    return DataSet(path, tuple(rows))


def _reject_constant(constant: str) -> None:
    """Reject NaN and infinities, which no request can contain (docs/container.md)."""
    raise ValueError(f"{constant} is not a valid value")
