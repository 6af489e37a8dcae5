"""Importing use cases of the LLMOps template, and reading the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy.config.configuration import Project
from deploy.core import yaml_files
from deploy.importers.llmops import conversion, detection, writer
from deploy.importers.llmops.entities import Import
from tests import llmops_repositories

# What an imported environment asks for.
VARIABLES = {
    "AZURE_SUBSCRIPTION_ID": "0",
    "TEST_ACR_NAME": "crtest",
    "LIVE_KEY_VAULT": "kv-live",
    "DEV_RESOURCE_GROUP": "rg-dev",
    "DEV_ACR_NAME": "crdev",
    "DEV_WORKSPACE": "mlw-dev",
}
KEY = "sk-" + "aB3dE5gH7jK9mN1pQ3sT5vW7"


def plan(
    project: Project, files: dict[str, Any], use_case: str | None = None, flow: str | None = None
) -> Import:
    theirs = llmops_repositories.write(project.root.parent / "theirs", files)
    return conversion.convert_use_case(project, detection.load_use_case(theirs, use_case), flow)


def imported(project: Project, files: dict[str, Any]) -> Import:
    found = plan(project, files)
    writer.write_import(project, found)
    return found


def deploy_yaml(project: Project, name: str) -> dict[str, Any]:
    return yaml_files.load(project.root / f"flows/{name}/deploy.yaml").data


def text(project: Project, path: str) -> str:
    return (project.root / "flows" / path).read_text(encoding="utf-8")


def notes(found: Import) -> dict[str, str]:
    return {note.where: note.what for note in found.unsupported}


def tree(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}
