"""The JSON Schemas that editors use, generated from the models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.config import schema, target_registry
from deploy.config.target import Target


def build_schemas(targets: Mapping[str, Target]) -> dict[str, dict[str, Any]]:
    """Return each schema by its path in the repository, for the given targets."""
    return {
        "docs/schema/deploy.json": schema.deploy_schema(
            {n: t.Settings for n, t in targets.items()}
        ),
        "docs/schema/environments.json": schema.environments_schema(
            {n: t.Place for n, t in targets.items()}
        ),
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
