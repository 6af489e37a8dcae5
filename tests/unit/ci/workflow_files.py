"""Workflow files of this repository, and the configuration of a flow with a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.projects import FIXTURE

ROOT = Path(__file__).parents[3]
MODEL = """\
environments: {local: {target: local}}
connections:
  model: {type: azure_open_ai, api_base: MY_ENDPOINT, api_key: MY_KEY}
"""


def read_github_workflow(name: str) -> Any:
    return YAML(typ="safe").load(list_workflows()[f".github/workflows/{name}"])


def list_workflows() -> dict[str, Path]:
    """Return the files of both CI systems by their path; the fixture's where a team changes one."""
    patterns = (".github/**/*.yml", "azure-pipelines/**/*.yml")
    return {
        path.relative_to(root).as_posix(): path
        for root in (ROOT, FIXTURE)
        for pattern in patterns
        for path in root.glob(pattern)
    }
