"""Environments that have a registry, and the images that were pushed to it."""

from __future__ import annotations

import json
from typing import Any

from deploy.config import configuration
from deploy.config.target import AnySpec
from deploy.core.entities import Image
from deploy.delivery import resolve_image
from deploy.registry import image_repository

Places = dict[str, dict[str, Any]]


def with_places(project: configuration.Project, places: Places) -> configuration.Project:
    """Give `project` these environments beside local, all on this machine's engine."""
    text = json.dumps({"local": {}, **places})
    (project.root / "environments.yaml").write_text(text, encoding="utf-8")
    targets = "".join(f"  {name}: {{target: local}}\n" for name in ("local", *places))
    declared = f"sample: sample.json\nexpect: {{answer: string}}\nenvironments:\n{targets}"
    (project.root / "flows/hello/deploy.yaml").write_text(declared, encoding="utf-8")
    return project


def spec(project: configuration.Project, environment: str = "dev") -> AnySpec:
    (found,) = configuration.load_specs(project, environment)
    return found


def publish(project: configuration.Project, environment: str = "dev") -> Image:
    return resolve_image.publish_image(project, spec(project, environment))


def change(project: configuration.Project, line: str) -> None:
    """Add a line to the flow's code."""
    path = project.root / "flows/hello/answer.py"
    path.write_text(path.read_text("utf-8") + line + "\n", encoding="utf-8")


def where(
    project: configuration.Project, environment: str = "dev"
) -> image_repository.ImageRepository:
    return image_repository.open_repository(spec(project, environment))


def attached(project: configuration.Project, environment: str, digest: str | None) -> set[str]:
    """Return the types of the documents that are attached to an image."""
    there = where(project, environment)
    return {
        str(d["artifactType"])
        for d in there.registry.list_referrers(there.repository, digest or "")
    }
