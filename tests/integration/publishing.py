"""What tests of publishing share: environments that have a registry, and what was done there."""

from __future__ import annotations

import json
from typing import Any

from deploy import config, images
from deploy.model import Image, Spec
from deploy.registry import remote

Places = dict[str, dict[str, Any]]


def with_places(project: config.Project, places: Places) -> config.Project:
    """Give `project` these environments beside local, all on this machine's engine."""
    text = json.dumps({"local": {}, **places})
    (project.root / "environments.yaml").write_text(text, encoding="utf-8")
    targets = "".join(f"  {name}: {{target: local}}\n" for name in ("local", *places))
    declared = f"sample: sample.json\nexpect: {{answer: string}}\nenvironments:\n{targets}"
    (project.root / "flows/hello/deploy.yaml").write_text(declared, encoding="utf-8")
    return project


def spec(project: config.Project, environment: str = "dev") -> Spec:
    (found,) = config.load_specs(project, environment)
    return found


def publish(project: config.Project, environment: str = "dev") -> Image:
    return images.publish(project, spec(project, environment))


def change(project: config.Project, line: str) -> None:
    """Add a line to the flow's code."""
    path = project.root / "flows/hello/answer.py"
    path.write_text(path.read_text("utf-8") + line + "\n", encoding="utf-8")


def where(project: config.Project, environment: str = "dev") -> remote.Remote:
    place = spec(project, environment).place
    return remote.of("hello", place, environment)


def attached(project: config.Project, environment: str, digest: str | None) -> set[str]:
    """Return the types of the documents that are attached to an image."""
    there = where(project, environment)
    return {
        str(d["artifactType"]) for d in there.registry.referrers(there.repository, digest or "")
    }
