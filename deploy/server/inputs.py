"""Parse the body of a request, and check it against the inputs of a flow."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from .scorer import BadInput, Field

# The first half of a pair that the second does not follow, or the second without the first.
_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])"
)


def read(body: bytes | bytearray, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the inputs in `body` that the flow declares in `fields`.

    Unknown inputs are ignored, as in promptflow. Raises `BadInput` for missing or wrong inputs.
    """
    if not fields:
        return {}
    data = _parse(body, fields)
    missing = [name for name, spec in fields.items() if spec.required and name not in data]
    if missing:
        raise BadInput(f"missing input: {', '.join(missing)}", missing, "MissingInput")
    wrong = {
        name: problem
        for name, spec in fields.items()
        if name in data and (problem := _describe_problem(spec, data[name]))
    }
    if wrong:
        text = "; ".join(f"input {name}: {problem}" for name, problem in wrong.items())
        raise BadInput(text, list(wrong), "WrongType")
    return {name: _convert_value(fields[name], data[name]) for name in fields if name in data}


def _convert_value(spec: Field, value: Any) -> Any:
    """Return numbers as text for inputs of type string; promptflow does so only for DAG flows."""
    return str(value) if spec.type == "string" and _is_number(value) else value


def _parse(body: bytes | bytearray, fields: Mapping[str, Field]) -> dict[str, Any]:
    expected = f"a JSON object with the inputs: {', '.join(fields)}"
    if not body or body.isspace():
        raise BadInput(f"the body is empty; send {expected}", list(fields), "EmptyBody")
    try:
        # Some editors write a byte order mark. Parsers may ignore it (RFC 8259, 8.1).
        text = body.decode("utf-8-sig")
        data = json.loads(text, parse_constant=_reject_constant, parse_float=_parse_float)
        if _has_lone_surrogate(body):
            raise UnicodeError
    except UnicodeError:
        raise BadInput(f"the body is not UTF-8; send {expected}", list(fields), "NotUtf8") from None
    except json.JSONDecodeError as error:
        location = f"line {error.lineno}, column {error.colno}"
        message = f"the body is not JSON ({error.msg}: {location}); send {expected}"
        raise BadInput(message, list(fields), "NotJson") from None
    except (RecursionError, ValueError):
        # ValueError: a number with more digits than Python converts to an integer.
        message = f"the body is nested too deeply or contains too long a number; send {expected}"
        raise BadInput(message, list(fields), "NotJson") from None
    if not isinstance(data, dict):
        message = f"the body is a JSON {_json_type(data)}; send {expected}"
        raise BadInput(message, list(fields), "NotAnObject")
    return data


def _has_lone_surrogate(body: bytes | bytearray) -> bool:
    """Return whether `body` has half a surrogate pair as an escape, which no response can contain.

    The search is in the bytes, because encoding the values would need the same memory again.
    """
    if b"\\ud" not in body and b"\\uD" not in body:
        return False
    # Once escaped backslashes are removed, each remaining backslash starts an escape.
    return bool(_LONE_SURROGATE.search(body.replace(b"\\\\", b" ")))


def _reject_constant(constant: str) -> None:
    """Raise `JSONDecodeError` for NaN and Infinity, which Python accepts but JSON does not have.

    Source: RFC 8259.
    """
    raise json.JSONDecodeError(f"{constant} is not a number", constant, 0)


def _parse_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        _reject_constant(text[:20])
    return number


def _json_type(value: object) -> str:
    for types, name in (
        (bool, "boolean"),
        (str, "string"),
        ((int, float), "number"),
        (list, "array"),
        (dict, "object"),
    ):
        if isinstance(value, types):
            return name
    return "null"


def _can_parse(parse: Callable[[str], object], text: str, expected: type = object) -> bool:
    try:
        return isinstance(parse(text), expected)
    except (ValueError, RecursionError):
        return False


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    whole = value.is_integer() if isinstance(value, float) else isinstance(value, int)
    return whole and not isinstance(value, bool)


# Values that promptflow converts without loss are accepted: a number as a string, JSON in a string.
_TYPE_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str) or _is_number(v),
    "integer": lambda v: _is_whole(v) or (isinstance(v, str) and _can_parse(int, v)),
    "number": lambda v: _is_number(v) or (isinstance(v, str) and _can_parse(float, v)),
    "boolean": lambda v: (
        isinstance(v, bool) or (isinstance(v, str) and v.lower() in {"true", "false"})
    ),
    "array": lambda v: (
        isinstance(v, list) or (isinstance(v, str) and _can_parse(json.loads, v, list))
    ),
    "object": lambda v: v is not None,
    "any": lambda v: True,
}


def _describe_problem(spec: Field, value: Any) -> str | None:
    """Return what is wrong with `value`, or None.

    A null means the default of an input that is not required.
    """
    if value is None and not spec.required:
        return None
    accepted = _TYPE_CHECKS[spec.type](value)
    return None if accepted else f"{spec.type} expected, not {_json_type(value)}"
