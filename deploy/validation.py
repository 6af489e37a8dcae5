"""Turn what pydantic finds into problems with file, line, key and the nearest right thing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from deploy.documents import Document, KeyPath
from deploy.errors import Problem

Model = TypeVar("Model", bound=BaseModel)

_WANTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_LIMITS = {
    "less_than_equal": "up to",
    "greater_than_equal": "from",
    "less_than": "below",
    "greater_than": "above",
}


def check(
    model: type[Model], data: Any, document: Document, at: KeyPath, problems: list[Problem]
) -> Model | None:
    """Return `data` as `model`; or None, with every problem in it added to `problems`.

    `at` is the key path of `data` in `document`.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found: dict[KeyPath, Problem] = {}
        for detail in error.errors(include_url=False):
            keys = (*at, *_keys(detail["loc"], data))
            # A union reports each of its branches: the first says enough.
            found.setdefault(keys, _problem(model, data, dict(detail), document, keys, at))
        # A branch of a union that fits less well complains about the whole: its parts say more.
        deepest = [k for k in found if not any(o != k and o[: len(k)] == k for o in found)]
        problems.extend(found[keys] for keys in sorted(deepest, key=document.line))
        return None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest of `known`, or all of them."""
    choices = list(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(choices)}" if choices else ""


def _keys(location: tuple[str | int, ...], data: Any) -> KeyPath:
    """Return the part of pydantic's location that exists in `data`.

    The rest names branches of unions.
    """
    keys: list[str | int] = []
    for part in location:
        if isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif part != location[-1] or not isinstance(data, dict) or "[" in str(part):
            continue
        keys.append(part)
    return tuple(keys)


def _problem(
    model: type[BaseModel],
    data: Any,
    detail: dict[str, Any],
    document: Document,
    keys: KeyPath,
    at: KeyPath,
) -> Problem:
    where = document.where(keys)
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Problem(
            where, "unknown key", nearest(str(keys[-1]), _known(model, keys[len(at) : -1]))
        )
    if kind == "missing":
        return Problem(document.where(keys[:-1]), f"the key {keys[-1]} is missing", "add it")
    if kind in _WANTED:
        value = detail["input"]
        hint = ""
        if kind == "string_type" and isinstance(value, (bool, int, float)):
            hint = f'quote it: "{str(value).lower()}"'
        return Problem(where, f"{_WANTED[kind]} is expected, not {_name(value)}", hint)
    if kind == "literal_error":
        choices = _known_literals(detail["ctx"]["expected"])
        value = detail["input"]
        if isinstance(value, str):
            return Problem(where, "this is not one of the known values", nearest(value, choices))
        hint = f'quote it: "{value}"' if str(value) in choices else f"known: {', '.join(choices)}"
        return Problem(where, f"a string is expected, not {_name(value)}", hint)
    if kind == "string_pattern_mismatch":
        return Problem(where, "this does not look as it should", _example(model, keys[len(at) :]))
    if kind in _LIMITS:
        limit = next(iter(detail["ctx"].values()))
        return Problem(where, f"a number {_LIMITS[kind]} {limit} is expected")
    if kind == "too_short" and not detail["input"]:
        return Problem(where, "at least one is expected")
    if kind == "value_error":
        return Problem(where, str(detail["ctx"]["error"]))
    return Problem(where, detail["msg"][:1].lower() + detail["msg"][1:])


def _name(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    for kind, name in ((str, "a string"), (list, "a list"), (dict, "a mapping")):
        if isinstance(value, kind):
            return name
    return "this"


def _known(model: type[BaseModel], keys: KeyPath) -> list[str]:
    """Return the keys that the model inside `model` at `keys` knows."""
    for key in keys:
        field = model.model_fields.get(str(key))
        inner = field.annotation if field else None
        models = [
            t for t in (inner, *get_args(inner)) if isinstance(t, type) and issubclass(t, BaseModel)
        ]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)


def _example(model: type[BaseModel], keys: KeyPath) -> str:
    """Return as a hint what a value looks like, where the model tells."""
    field = model.model_fields.get(str(keys[0])) if len(keys) == 1 else None
    return f"such as {field.examples[0]}" if field and field.examples else ""


def _known_literals(expected: str) -> list[str]:
    """Read pydantic's list of choices: `'a', 'b' or 'c'`."""
    return [part for part in expected.replace(" or ", ", ").replace("'", "").split(", ") if part]
