"""The two files that infrastructure writes: an environment's parameters, and environments.yaml."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from deploy import config, documents
from deploy.config import Project
from deploy.errors import DeployError
from deploy.infra import parameters
from deploy.infra.wanted import Wanted

FOLDER = "infra"
# No line is broken that was not.
WIDEST = 10**6


def write_parameters(project: Project, wanted: Wanted) -> tuple[Path, bool]:
    """Write the parameter file of an environment; return where, and whether it is new."""
    path = project.root / FOLDER / f"{wanted.environment}.bicepparam"
    text = parameters.text_of(wanted)
    if path.exists() and documents.read_text(path) == text:
        return path, False
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path, True


def write_outputs(
    project: Project, environment: str, outputs: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Write what a deployment gave into environments.yaml, comments kept; return what changed.

    A value that is written as ${VAR}, and is the same, stays so.
    """
    path = project.root / config.ENVIRONMENTS
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = WIDEST
    yaml.indent(mapping=2, sequence=4, offset=2)
    data = yaml.load(documents.read_text(path))
    if not isinstance(data, CommentedMap) or environment not in data:
        raise DeployError(config.ENVIRONMENTS, f"it has no environment {environment}", "add it")
    if data[environment] is None:
        data[environment] = CommentedMap()
    place = data[environment]
    changed = []
    for key, value in outputs.items():
        before = place.get(key)
        if value and str(value) not in (before, config.filled_in(project, before)):
            place[key] = value
            changed.append({"key": key, "before": str(before or ""), "after": str(value)})
    if changed:
        text = io.StringIO()
        yaml.dump(data, text)
        path.write_text(text.getvalue(), encoding="utf-8")
    return changed
