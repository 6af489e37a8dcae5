"""The sections of environments.yaml, with the variables in their values expanded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deploy.config import rules, target_registry
from deploy.core.errors import DeployError, Problem, suggest_nearest
from deploy.core.yaml_files import Document, KeyPath


def expand_environment(
    document: Document, environ: Mapping[str, str], environment: str, partly: bool = False
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the section of `environment` with variables expanded, and the problems in it.

    The problems are those that concern every target. With `partly`, a key with a variable that is
    not set is left out.
    """
    problems = rules.find_secrets(document)
    data = document.data[environment] or {}
    if not isinstance(data, dict):
        raise DeployError(document.where((environment,)), "a mapping is expected")
    expanded = {}
    for key, value in data.items():
        unset: list[Problem] = []
        expanded_value = _expand_value(environ, document, (environment, key), value, unset)
        if not (unset and partly):
            expanded[key] = expanded_value
            problems += unset
    places = {name: target.Place for name, target in target_registry.all_targets().items()}
    for key in data:
        # Flows with different targets share an environment: a key is valid if any target knows it.
        if not any(key in place.model_fields for place in places.values()):
            choices = sorted({name for place in places.values() for name in place.model_fields})
            problems.append(
                Problem(
                    document.where((environment, key)), "unknown key", suggest_nearest(key, choices)
                )
            )
    return expanded, problems


def expand_variables(environ: Mapping[str, str], value: Any) -> Any:
    """Return a value with its variables expanded; unset ones become empty."""
    if not isinstance(value, str):
        return value
    return re.sub(r"\$\{(\w+)\}", lambda match: environ.get(match[1], ""), value)


def _expand_value(
    environ: Mapping[str, str],
    document: Document,
    at: KeyPath,
    value: Any,
    problems: list[Problem],
) -> Any:
    """Return `value` with each ${VAR} expanded; add a problem for each variable that is not set."""
    if isinstance(value, dict):
        return {
            k: _expand_value(environ, document, (*at, k), v, problems) for k, v in value.items()
        }
    if isinstance(value, list):
        return [
            _expand_value(environ, document, (*at, i), v, problems) for i, v in enumerate(value)
        ]
    if not isinstance(value, str):
        return value
    for variable in re.findall(r"\$\{(\w+)\}", value):
        text = environ.get(variable)
        if not text:
            message = f"the variable {variable} is not set"
            problems.append(Problem(document.where(at), message, "set it, or put it into .env"))
        value = value.replace(f"${{{variable}}}", text or "")
    return value
