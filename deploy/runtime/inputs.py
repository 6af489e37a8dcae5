"""Read the body of a request as the inputs of a flow."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from .scorer import BadInput, Field

# The first half without the second one behind it, or the second without the first before it.
_HALF_PAIR = re.compile(
    rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])"
)


def read(body: bytes | bytearray, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the inputs in `body`, checked against `fields`.

    Inputs that the flow does not know are left out, as promptflow does. Raises `BadInput`.
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
        if name in data and (problem := _problem(spec, data[name]))
    }
    if wrong:
        text = "; ".join(f"input {name}: {problem}" for name, problem in wrong.items())
        raise BadInput(text, list(wrong), "WrongType")
    return {name: _fit(fields[name], data[name]) for name in fields if name in data}


def _fit(spec: Field, value: Any) -> Any:
    """Return `value` as the flow takes it: promptflow converts numbers for DAG flows only."""
    return str(value) if spec.type == "string" and _is_number(value) else value


def _parse(body: bytes | bytearray, fields: Mapping[str, Field]) -> dict[str, Any]:
    wanted = f"a JSON object with the inputs: {', '.join(fields)}"
    if not body or body.isspace():
        raise BadInput(f"the body is empty; send {wanted}", list(fields), "EmptyBody")
    try:
        # Some editors write a byte order mark, and it may be passed over (RFC 8259, 8.1).
        text = body.decode("utf-8-sig")
        data = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        if _has_half_pair(body):
            raise UnicodeError
    except UnicodeError:
        raise BadInput(f"the body is not UTF-8; send {wanted}", list(fields), "NotUtf8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        message = f"the body is not JSON ({error.msg}: {place}); send {wanted}"
        raise BadInput(message, list(fields), "NotJson") from None
    except (RecursionError, ValueError):
        # ValueError: a number with more digits than Python turns into an integer.
        message = f"the body nests too deeply or holds too long a number; send {wanted}"
        raise BadInput(message, list(fields), "NotJson") from None
    if not isinstance(data, dict):
        message = f"the body is a JSON {_json_type(data)}; send {wanted}"
        raise BadInput(message, list(fields), "NotAnObject")
    return data


def _has_half_pair(body: bytes | bytearray) -> bool:
    """Return whether an escape in `body` is half of a surrogate pair, which no answer can carry.

    Searched in the bytes: to encode the values would take as much memory once more.
    """
    if b"\\ud" not in body and b"\\uD" not in body:
        return False
    # Without escaped backslashes each one left begins an escape.
    return bool(_HALF_PAIR.search(body.replace(b"\\\\", b" ")))


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which Python reads and JSON does not have (RFC 8259)."""
    raise json.JSONDecodeError(f"{constant} is no number", constant, 0)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        _refuse(text[:20])
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


def _parses(parse: Callable[[str], object], text: str, wanted: type = object) -> bool:
    try:
        return isinstance(parse(text), wanted)
    except (ValueError, RecursionError):
        return False


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    whole = value.is_integer() if isinstance(value, float) else isinstance(value, int)
    return whole and not isinstance(value, bool)


# What promptflow converts without loss is let through: a number written as a string, JSON inside of
# a string.
_ACCEPTS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str) or _is_number(v),
    "integer": lambda v: _is_whole(v) or (isinstance(v, str) and _parses(int, v)),
    "number": lambda v: _is_number(v) or (isinstance(v, str) and _parses(float, v)),
    "boolean": lambda v: (
        isinstance(v, bool) or (isinstance(v, str) and v.lower() in {"true", "false"})
    ),
    "array": lambda v: isinstance(v, list) or (isinstance(v, str) and _parses(json.loads, v, list)),
    "object": lambda v: v is not None,
    "any": lambda v: True,
}


def _problem(spec: Field, value: Any) -> str | None:
    """Return what is wrong with `value`, or None.

    A null stands for the default where there is one.
    """
    if value is None and not spec.required:
        return None
    accepted = _ACCEPTS[spec.type](value)
    return None if accepted else f"{spec.type} expected, not {_json_type(value)}"
