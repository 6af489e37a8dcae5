"""What a run came to, kept in .artifacts/evaluations/ for the next one to compare with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from deploy.documents import show
from deploy.errors import DeployError

FOLDER = Path(".artifacts/evaluations")
VERSION = 1


@dataclass(frozen=True)
class Record:
    """A run: of which content, at which commit, when; what was asked, measured and answered.

    `tag` is the tag of the flow's image, `data` a hash of the rows. `metrics` are by evaluation
    flow and name. `rows` hold the line in the data set, the flow's outputs or its error, and the
    same of each evaluation flow.
    """

    flow: str
    tag: str
    commit: str
    created: str
    data: str
    passed: bool
    metrics: Mapping[str, Mapping[str, float]]
    tokens: Mapping[str, int]
    rows: list[dict[str, Any]]
    version: int = VERSION


def previous(root: Path, flow: str) -> Record | None:
    """Return the last run that passed, None without one.

    Raises `DeployError` where its file cannot be read.
    """
    path = root / file(flow, True)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        # Of another version of this tool: nothing to compare with.
        if found["version"] != VERSION:
            return None
        return TypeAdapter(Record).validate_python(found)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DeployError(show(path), "this is no record of an evaluation", "remove it") from None


def file(flow: str, passed: bool) -> Path:
    """Return where a run is kept, from the root: one that failed takes no good one's place."""
    return FOLDER / f"{flow}{'' if passed else '.failed'}.json"


def keep(root: Path, record: Record) -> Path:
    """Write `record`, and return its file; what failed before a run that passes is history."""
    path = root / file(record.flow, record.passed)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n"
    # In one step, and a file of this run's own: an interruption leaves the old one, and so does
    # another run. Half a surrogate pair, which a model may answer, is written as JSON has it.
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(text, "utf-8", "backslashreplace")
    fresh.replace(path)
    if record.passed:
        (root / file(record.flow, False)).unlink(missing_ok=True)
    return path
