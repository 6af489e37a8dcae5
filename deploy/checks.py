"""What a schema cannot say of configuration: secrets, connections by type, the sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.documents import Document, KeyPath, show
from deploy.errors import Problem, nearest
from deploy.gate import shapes
from deploy.schema import CONNECTIONS
from deploy.validation import check


def connection(document: Document, name: str, declaration: Any, problems: list[Problem]) -> None:
    """Add to `problems` what is wrong with the declaration of the connection `name`."""
    at: KeyPath = ("connections", name)
    kind = declaration.get("type") if isinstance(declaration, dict) else None
    if isinstance(declaration, dict) and str(kind) not in CONNECTIONS:
        what = "the key type is missing" if kind is None else "this is no type of connection"
        where = document.where(at if kind is None else (*at, "type"))
        problems.append(Problem(where, what, nearest(str(kind or ""), CONNECTIONS)))
    elif isinstance(kind, str):
        check(CONNECTIONS[kind], declaration, document, at, problems)


def secrets_in(document: Document) -> list[Problem]:
    """Return a problem for each text that looks like a secret; none quotes it."""
    hint = "put the value into .env, name its variable here, and rotate it"
    return [
        Problem(
            document.where(keys), f"this looks like {kind}; secrets do not belong in files", hint
        )
        for keys, text in document.texts()
        if (kind := shapes.recognise(text))
    ]


def sample(document: Document, sample: Path) -> list[Problem]:
    """Return what is wrong with the file that `document` names as the sample."""
    try:
        content = json.loads(sample.read_text(encoding="utf-8"))
    except FileNotFoundError:
        where = document.where(("sample",))
        return [
            Problem(where, f"{show(sample)} is not there", "write one request for the flow into it")
        ]
    except OSError as error:
        where = document.where(("sample",))
        return [Problem(where, f"it cannot be read: {error.strerror}", "name a JSON file")]
    except RecursionError:
        return [Problem(show(sample), "it nests too deeply", "write a simpler request")]
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        return [Problem(f"{show(sample)}:{line}", f"this is not JSON: {error}", "correct it")]
    if not isinstance(content, dict):
        return [Problem(f"{show(sample)}:1", "a JSON object with the flow's inputs is expected")]
    return []
