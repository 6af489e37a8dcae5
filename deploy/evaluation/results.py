"""What an evaluation's container says: events, line by line, and its result.

The flow's code runs in the same process and can write both. So they are data of others: what does
not have the right shape is a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from deploy.docker import tar_files
from deploy.errors import DeployError

FILE = "result.json"
# Parsed it takes up to twenty times as much.
MOST_BYTES = 64 * 2**20
# What JSON raises that is none, nests too deep, or has numbers of thousands of digits.
INVALID = (ValueError, RecursionError)


@dataclass(frozen=True)
class Outcome:
    """What came of a flow: outputs, or an error, by row from 0; its metrics; what else went wrong.

    `aggregates` tells whether the flow makes metrics of all rows itself. `tokens` are those that
    its models counted.
    """

    name: str
    outputs: Mapping[int, Mapping[str, Any]]
    errors: Mapping[int, str]
    metrics: Mapping[str, Any]
    aggregates: bool
    problems: tuple[str, ...]
    tokens: int


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


Count = Annotated[int, Field(ge=0, le=10**15)]


class Event(_Model):
    """A row that is done, of the flow that is evaluated (no name) or of an evaluation flow."""

    flow: str
    done: Count
    row: Count = 0
    error: str | None = None


class _Row(_Model):
    outputs: dict[str, Any] | None = None
    error: str | None = None


class _Part(_Model):
    rows: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], _Row]
    metrics: dict[str, Any]
    aggregates: bool
    problems: list[str]
    tokens: Count


class _Result(_Model):
    flow: _Part
    evaluations: list[_Part]


class _Failure(_Model):
    problem: str


_EITHER: Any = _Result | _Failure
_RESULT: TypeAdapter[_Result | _Failure] = TypeAdapter(_EITHER)


def event(line: str, rows: int, doing: str) -> Event | None:
    """Return the event in `line`, None for a sign of life. Raises `DeployError`."""
    try:
        data = _printable(json.loads(line))
        found = Event.model_validate(data) if data else None
    except INVALID:
        _refuse(doing, "a line of its output is no event of the evaluation")
    if found and found.row >= rows:
        _refuse(doing, f"a line of its output is about row {found.row} of {rows}")
    return found


def outcomes(
    archive: IO[bytes], names: tuple[str, ...], rows: int, doing: str
) -> tuple[Outcome, ...]:
    """Return what came of each flow: `names`, in their order. Raises `DeployError`.

    Without one answer the evaluation flows have not run.
    """
    content = tar_files.read(archive, FILE, doing)
    if content is None:
        what = "the flow's code ended the process"
        raise DeployError(doing, what, "call sys.exit() only below a main guard")
    try:
        # NaN, which a flow may answer, is no JSON: a text from here on.
        data = _printable(json.loads(content, parse_constant=str))
        result = _RESULT.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = ".".join(map(str, first["loc"][1:]))
        _refuse(doing, f"{FILE} is not as it was written: {path[:100]}: {first['msg'][:100]}")
    except INVALID:
        _refuse(doing, f"{FILE} is no JSON, or nests too deep")
    if isinstance(result, _Failure):
        raise DeployError(doing, result.problem, "correct the flow")
    parts = (result.flow, *result.evaluations)
    if len(parts) > len(names) or any(int(row) >= rows for part in parts for row in part.rows):
        _refuse(doing, f"{FILE} has flows or rows that the evaluation has not")
    return tuple(_outcome(name, part) for name, part in zip(names, parts, strict=False))


def _outcome(name: str, part: _Part) -> Outcome:
    rows = {int(index): row for index, row in part.rows.items()}
    return Outcome(
        name=name,
        outputs={index: row.outputs for index, row in rows.items() if row.outputs is not None},
        errors={index: row.error for index, row in rows.items() if row.error is not None},
        metrics=part.metrics,
        aggregates=part.aggregates,
        problems=tuple(part.problems),
        tokens=part.tokens,
    )


def _printable(value: Any) -> Any:
    """Return plain data whose texts can be written: JSON may have half of a surrogate pair."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_printable(key): _printable(inner) for key, inner in value.items()}
    return [_printable(inner) for inner in value] if isinstance(value, list) else value


def _refuse(doing: str, what: str) -> NoReturn:
    hint = "code of the flow must not write to the files and the output of the evaluation"
    raise DeployError(doing, what, hint)
