"""The JSON Schemas that editors use, made from the models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import schema, targets
from deploy.targets.base import Target


def schemas(every: Mapping[str, Target]) -> dict[str, dict[str, Any]]:
    """Return each schema by its path in the repository, for these targets."""
    return {
        "docs/schema/deploy.json": schema.deploy_schema({n: t.Settings for n, t in every.items()}),
        "docs/schema/environments.json": schema.environments_schema(
            {n: t.Place for n, t in every.items()}
        ),
    }


def write(root: Path) -> list[Path]:
    """Write the schemas below `root`, for all targets that are installed; return their paths."""
    paths = []
    for name, content in schemas(targets.every()).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        paths.append(path)
    return paths
