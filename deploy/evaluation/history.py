"""Records of evaluations in .artifacts/evaluations/; the next run is compared with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from deploy.core import atomic_file
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path

FOLDER = Path(".artifacts/evaluations")
VERSION = 1


@dataclass(frozen=True)
class Record:
    """The results of an evaluation, with the image and the data set that it used."""

    flow: str
    # The content tag of the flow's image.
    tag: str
    commit: str
    created: str
    # A hash of the rows.
    data: str
    passed: bool
    # By evaluation flow, and then by the metric's name.
    metrics: Mapping[str, Mapping[str, float]]
    # By flow.
    tokens: Mapping[str, int]
    # Each row's line in the data set, its inputs, and its outputs or error from each flow.
    rows: list[dict[str, Any]]
    version: int = VERSION


def load_last_passed(root: Path, flow: str) -> Record | None:
    """Return the record of the last run that passed, None if there is none.

    Raise `DeployError` if its file cannot be read.
    """
    path = root / get_record_path(flow, True)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        # Written by another version of this tool: not comparable.
        if data["version"] != VERSION:
            return None
        return TypeAdapter(Record).validate_python(data)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DeployError(
            display_path(path), "this is not a record of an evaluation", "remove the file"
        ) from None


def get_record_path(flow: str, passed: bool) -> Path:
    """Return the path of a record from the root; failed and passed runs have different files."""
    return FOLDER / f"{flow}{'' if passed else '.failed'}.json"


def save_record(root: Path, record: Record) -> Path:
    """Write `record`; return its path. A run that passes removes the record of a failed one."""
    path = root / get_record_path(record.flow, record.passed)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n"
    # An unpaired surrogate, which a model may answer, is written as an escape sequence of JSON.
    atomic_file.write(path, text, errors="backslashreplace")
    if record.passed:
        (root / get_record_path(record.flow, False)).unlink(missing_ok=True)
    return path
