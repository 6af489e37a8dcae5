"""Parse the output of an evaluation's container: events, one per line, and the result.

The flow's code runs in the same process and can write both, so they are untrusted: invalid data
raises `DeployError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from deploy.core.errors import DeployError
from deploy.docker import tar_files

RESULT_FILE = "result.json"
# Of the result file. In memory, parsed JSON takes up to twenty times as much.
MAX_BYTES = 64 * 2**20
# Raised for invalid JSON, excessive nesting, or numbers with thousands of digits.
JSON_ERRORS = (ValueError, RecursionError)


@dataclass(frozen=True)
class FlowResult:
    """The result of running a flow over the rows."""

    name: str
    # By row, from 0: each row that ran has outputs or an error.
    outputs: Mapping[int, Mapping[str, Any]]
    errors: Mapping[int, str]
    metrics: Mapping[str, Any]
    # Whether the flow itself computes metrics from all rows.
    aggregates: bool
    # Errors other than those of rows.
    problems: tuple[str, ...]
    # As counted by the flow's models.
    tokens: int


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


Count = Annotated[int, Field(ge=0, le=10**15)]


class Event(_Model):
    """A row that is done. `flow` is empty for the flow that is evaluated."""

    flow: str
    done: Count
    row: Count = 0
    error: str | None = None


class _Row(_Model):
    outputs: dict[str, Any] | None = None
    error: str | None = None


class _FlowOutput(_Model):
    rows: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], _Row]
    metrics: dict[str, Any]
    aggregates: bool
    problems: list[str]
    tokens: Count


class _Result(_Model):
    flow: _FlowOutput
    evaluations: list[_FlowOutput]


class _Failure(_Model):
    problem: str


_RESULT_TYPE: Any = _Result | _Failure
_RESULT_ADAPTER: TypeAdapter[_Result | _Failure] = TypeAdapter(_RESULT_TYPE)


def parse_event(line: str, rows: int, operation: str) -> Event | None:
    """Return the event in `line`, None for a heartbeat. Raise `DeployError` for other text."""
    try:
        data = _replace_surrogates(json.loads(line))
        event = Event.model_validate(data) if data else None
    except JSON_ERRORS:
        _raise_invalid_output(operation, "a line of the output is not an event of the evaluation")
    if event and event.row >= rows:
        _raise_invalid_output(operation, f"a line of the output is about row {event.row} of {rows}")
    return event


def read_results(
    archive: IO[bytes], names: tuple[str, ...], rows: int, operation: str
) -> tuple[FlowResult, ...]:
    """Return the results of the flows `names`, in their order. Raise `DeployError`.

    If no row was answered, the evaluation flows did not run and have no result.
    """
    content = tar_files.read_file(archive, RESULT_FILE, operation)
    if content is None:
        message = "the flow's code ended the process"
        raise DeployError(
            operation, message, 'call sys.exit() only below `if __name__ == "__main__"`'
        )
    try:
        # A flow may answer NaN, which is not valid JSON: keep it as text.
        data = _replace_surrogates(json.loads(content, parse_constant=str))
        result = _RESULT_ADAPTER.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = ".".join(map(str, first["loc"][1:]))
        _raise_invalid_output(
            operation, f"{RESULT_FILE} is invalid: {path[:100]}: {first['msg'][:100]}"
        )
    except JSON_ERRORS:
        _raise_invalid_output(operation, f"{RESULT_FILE} is not valid JSON, or nested too deeply")
    if isinstance(result, _Failure):
        raise DeployError(operation, result.problem, "correct the flow")
    flow_outputs = (result.flow, *result.evaluations)
    if len(flow_outputs) > len(names) or any(
        int(row) >= rows for flow_output in flow_outputs for row in flow_output.rows
    ):
        _raise_invalid_output(
            operation, f"{RESULT_FILE} has flows or rows that are not in the evaluation"
        )
    return tuple(
        _create_result(name, flow_output)
        for name, flow_output in zip(names, flow_outputs, strict=False)
    )


def _create_result(name: str, part: _FlowOutput) -> FlowResult:
    rows = {int(index): row for index, row in part.rows.items()}
    return FlowResult(
        name=name,
        outputs={index: row.outputs for index, row in rows.items() if row.outputs is not None},
        errors={index: row.error for index, row in rows.items() if row.error is not None},
        metrics=part.metrics,
        aggregates=part.aggregates,
        problems=tuple(part.problems),
        tokens=part.tokens,
    )


def _replace_surrogates(value: Any) -> Any:
    """Return `value` with unpaired surrogates, which JSON allows, replaced in all texts."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {
            _replace_surrogates(key): _replace_surrogates(inner) for key, inner in value.items()
        }
    return [_replace_surrogates(inner) for inner in value] if isinstance(value, list) else value


def _raise_invalid_output(operation: str, message: str) -> NoReturn:
    hint = "the flow's code must not write to the evaluation's files or output"
    raise DeployError(operation, message, hint)
