"""The two files that infrastructure tasks write: Bicep parameters and environments.yaml."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from deploy.config import configuration, environments_file
from deploy.config.configuration import Project
from deploy.core import yaml_files
from deploy.core.errors import DeployError
from deploy.infra import parameters
from deploy.infra.desired import DesiredState

INFRA_FOLDER = "infra"
# Prevents the YAML writer from breaking lines.
MAX_LINE_WIDTH = 10**6


def write_parameters(project: Project, desired: DesiredState) -> tuple[Path, bool]:
    """Write an environment's parameter file; return its path, and whether it changed."""
    path = project.root / INFRA_FOLDER / f"{desired.environment}.bicepparam"
    text = parameters.render_parameters(desired)
    if path.exists() and yaml_files.read_text(path) == text:
        return path, False
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path, True


def write_outputs(
    project: Project, environment: str, outputs: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Write the outputs of a deployment into environments.yaml; return the changed keys as rows.

    Comments are kept. A value written as ${VAR} is kept if it expands to the same value.
    """
    path = project.root / configuration.ENVIRONMENTS_FILE
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = MAX_LINE_WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    data = yaml.load(yaml_files.read_text(path))
    if not isinstance(data, CommentedMap) or environment not in data:
        raise DeployError(
            configuration.ENVIRONMENTS_FILE, f"it has no environment {environment}", "add it"
        )
    if data[environment] is None:
        data[environment] = CommentedMap()
    entry = data[environment]
    changes = []
    for key, value in outputs.items():
        before = entry.get(key)
        expanded = environments_file.expand_variables(project.environ, before)
        if value and str(value) not in (before, expanded):
            entry[key] = value
            changes.append({"key": key, "before": str(before or ""), "after": str(value)})
    if changes:
        text = io.StringIO()
        yaml.dump(data, text)
        path.write_text(text.getvalue(), encoding="utf-8")
    return changes
