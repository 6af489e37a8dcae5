"""Convert pydantic's errors to problems with file, line, key and the nearest valid choice."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from deploy.core.errors import Problem, suggest_nearest
from deploy.core.yaml_files import Document, KeyPath

Model = TypeVar("Model", bound=BaseModel)

_EXPECTED_TYPES = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_LIMIT_WORDS = {
    "less_than_equal": "up to",
    "greater_than_equal": "from",
    "less_than": "below",
    "greater_than": "above",
}


def validate(
    model: type[Model], data: Any, document: Document, at: KeyPath, problems: list[Problem]
) -> Model | None:
    """Return `data` as `model`; or None, after adding every problem in it to `problems`.

    `at` is the key path of `data` in `document`.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems_by_key: dict[KeyPath, Problem] = {}
        for detail in error.errors(include_url=False):
            keys = (*at, *_existing_keys(detail["loc"], data))
            # A union reports an error for each of its branches: the first is enough.
            problems_by_key.setdefault(
                keys, _to_problem(model, data, dict(detail), document, keys, at)
            )
        # A union's worse branch reports the whole value; errors about its parts are more precise.
        deepest = [
            k
            for k in problems_by_key
            if not any(other != k and other[: len(k)] == k for other in problems_by_key)
        ]
        problems.extend(problems_by_key[keys] for keys in sorted(deepest, key=document.line))
        return None


def _existing_keys(location: tuple[str | int, ...], data: Any) -> KeyPath:
    """Return the part of pydantic's location that exists in `data`.

    The remaining parts name branches of unions.
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


def _to_problem(
    model: type[BaseModel],
    data: Any,
    detail: dict[str, Any],
    document: Document,
    keys: KeyPath,
    at: KeyPath,
) -> Problem:
    location = document.where(keys)
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Problem(
            location,
            "unknown key",
            suggest_nearest(str(keys[-1]), _known_keys(model, keys[len(at) : -1])),
        )
    if kind == "missing":
        return Problem(document.where(keys[:-1]), f"the key {keys[-1]} is missing", "add it")
    if kind in _EXPECTED_TYPES:
        value = detail["input"]
        hint = ""
        if kind == "string_type" and isinstance(value, (bool, int, float)):
            hint = f'quote it: "{str(value).lower()}"'
        return Problem(
            location, f"{_EXPECTED_TYPES[kind]} is expected, not {_describe_value(value)}", hint
        )
    if kind == "literal_error":
        choices = _known_literals(detail["ctx"]["expected"])
        value = detail["input"]
        if isinstance(value, str):
            return Problem(
                location, "this is not one of the known values", suggest_nearest(value, choices)
            )
        hint = f'quote it: "{value}"' if str(value) in choices else f"known: {', '.join(choices)}"
        return Problem(location, f"a string is expected, not {_describe_value(value)}", hint)
    if kind == "string_pattern_mismatch":
        return Problem(
            location, "this does not look as it should", _example_hint(model, keys[len(at) :])
        )
    if kind in _LIMIT_WORDS:
        limit = next(iter(detail["ctx"].values()))
        return Problem(location, f"a number {_LIMIT_WORDS[kind]} {limit} is expected")
    if kind == "too_short" and not detail["input"]:
        return Problem(location, "at least one is expected")
    if kind == "value_error":
        return Problem(location, str(detail["ctx"]["error"]))
    return Problem(location, detail["msg"][:1].lower() + detail["msg"][1:])


def _describe_value(value: object) -> str:
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


def _known_keys(model: type[BaseModel], keys: KeyPath) -> list[str]:
    """Return the keys of the model that is at `keys` inside `model`."""
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


def _example_hint(model: type[BaseModel], keys: KeyPath) -> str:
    """Return a hint with an example value, if the model has one."""
    field = model.model_fields.get(str(keys[0])) if len(keys) == 1 else None
    return f"such as {field.examples[0]}" if field and field.examples else ""


def _known_literals(expected: str) -> list[str]:
    """Return the choices in pydantic's text `'a', 'b' or 'c'`."""
    return [part for part in expected.replace(" or ", ", ").replace("'", "").split(", ") if part]
