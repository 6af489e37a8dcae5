"""The JSON Schemas that editors use, generated from the models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.config import cases, target_registry
from deploy.config.deploy_file import CONNECTION_MODELS, DeployFile
from deploy.config.schema import PlaceModel, TargetSettings
from deploy.config.target import Target
from deploy.core.errors import DeployError


def build_schemas(targets: Mapping[str, Target]) -> dict[str, dict[str, Any]]:
    """Return each schema by its path in the repository, for the given targets."""
    return {
        "docs/schema/deploy.json": _deploy_schema({n: t.Settings for n, t in targets.items()}),
        "docs/schema/environments.json": _environments_schema(
            {n: t.Place for n, t in targets.items()}
        ),
        "docs/schema/cases.json": cases.cases_schema(),
    }


def write_schemas(root: Path) -> list[Path]:
    """Write the schemas for all installed targets below `root`; return their paths."""
    paths = []
    for name, content in build_schemas(target_registry.all_targets()).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def _deploy_schema(settings: dict[str, type[TargetSettings]]) -> dict[str, Any]:
    """Return the JSON Schema of deploy.yaml, with the settings of each target."""
    schema = DeployFile.model_json_schema()
    connections = [model.model_json_schema() for model in CONNECTION_MODELS.values()]
    schema["properties"]["connections"]["additionalProperties"] = {"oneOf": connections}
    schema["properties"]["environments"]["additionalProperties"] = {
        "oneOf": [_target_schema(name, model) for name, model in settings.items()]
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_hoist_definitions(schema)}


def _environments_schema(places: dict[str, type[PlaceModel]]) -> dict[str, Any]:
    """Return the JSON Schema of environments.yaml: the keys of all targets."""
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for model in places.values():
        schema = model.model_json_schema()
        properties.update(schema["properties"])
        definitions.update(schema.get("$defs") or {})
    environment = {
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "environments.yaml",
        "type": "object",
        "additionalProperties": environment,
        "$defs": definitions,
    }


def _target_schema(name: str, model: type[TargetSettings]) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema["properties"]["target"] = {"const": name}
    return schema


def _hoist_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """Move the definitions of embedded schemas to the top, where their references point."""
    definitions: dict[str, Any] = {}

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            for name, model in node.pop("$defs", {}).items():
                if definitions.setdefault(name, model) != model:
                    message = f"two different models of targets are called {name}"
                    raise DeployError("the schema", message, "rename the extension's")
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    collect(schema)
    for definition in list(definitions.values()):
        collect(definition)
    return {**schema, "$defs": definitions}
