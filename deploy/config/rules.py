"""Checks that a schema cannot express: secrets, connections by type, the sample."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy.config import secret_patterns
from deploy.config.deploy_file import CONNECTION_MODELS
from deploy.config.validation import validate
from deploy.core.errors import Problem, suggest_nearest
from deploy.core.yaml_files import Document, KeyPath, display_path

# Variables that the image sets: with other values the container fails, or runs untested.
RESERVED_VARIABLES = {"PATH", "HOME", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LD_PRELOAD"}
# Endings of the names of variables that hold a secret.
SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CONNECTION_STRING)$")


def check_clear_variables(
    document: Document, at: KeyPath, names: Iterable[str], problems: list[Problem]
) -> None:
    """Add a problem for each of the variables `names` in env.clear that may not be there."""
    for variable in names:
        location = document.where((*at, "env", "clear", variable))
        if variable in RESERVED_VARIABLES:
            problems.append(Problem(location, "the image sets this itself", "leave it out"))
        if SECRET_NAME.search(variable):
            hint = "put the value into .env, and the name under env.secret"
            problems.append(
                Problem(location, "this is the name of a secret; it may not be written here", hint)
            )


def check_connection(
    document: Document, name: str, declaration: Any, problems: list[Problem]
) -> None:
    """Add the problems in the declaration of the connection `name` to `problems`."""
    at: KeyPath = ("connections", name)
    kind = declaration.get("type") if isinstance(declaration, dict) else None
    if isinstance(declaration, dict) and str(kind) not in CONNECTION_MODELS:
        message = "the key type is missing" if kind is None else "this is not a type of connection"
        location = document.where(at if kind is None else (*at, "type"))
        problems.append(
            Problem(location, message, suggest_nearest(str(kind or ""), CONNECTION_MODELS))
        )
    elif isinstance(kind, str):
        validate(CONNECTION_MODELS[kind], declaration, document, at, problems)


def find_secrets(document: Document) -> list[Problem]:
    """Return a problem for each text that looks like a secret, without quoting the text."""
    hint = "put the value into .env, name its variable here, and rotate it"
    return [
        Problem(
            document.where(keys), f"this looks like {kind}; secrets do not belong in files", hint
        )
        for keys, text in document.strings()
        if (kind := secret_patterns.recognise_secret(text))
    ]


def check_sample(document: Document, sample: Path) -> list[Problem]:
    """Return the problems in the sample file that `document` names."""
    try:
        content = json.loads(sample.read_text(encoding="utf-8"))
    except FileNotFoundError:
        location = document.where(("sample",))
        return [
            Problem(
                location,
                f"{display_path(sample)} is not there",
                "write one request for the flow into it",
            )
        ]
    except OSError as error:
        location = document.where(("sample",))
        return [Problem(location, f"it cannot be read: {error.strerror}", "name a JSON file")]
    except RecursionError:
        return [Problem(display_path(sample), "it nests too deeply", "write a simpler request")]
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        return [
            Problem(f"{display_path(sample)}:{line}", f"this is not JSON: {error}", "correct it")
        ]
    if not isinstance(content, dict):
        return [
            Problem(f"{display_path(sample)}:1", "a JSON object with the flow's inputs is expected")
        ]
    return []
