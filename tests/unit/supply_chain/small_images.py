"""Small images with packages and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.config import configuration
from deploy.core.entities import Flow, Image
from deploy.supply_chain import provenance
from tests import small_archives
from tests.projects import FIXTURE

IMAGE = Image("faq", "0123456789ab", f"sha256:{'1' * 64}", "linux/amd64", "base:1", "abc")
ABOUT: dict[str, Any] = {"flow": "faq", "tag": IMAGE.tag, "kind": "dag", "entry": "flow.dag.yaml"}
LOCKS = {"requirements_lock": "sha256:" + "a" * 64, "pack_lock": "sha256:" + "b" * 64}
BUILT_WITH = {
    "python": "3.11",
    "base_id": f"sha256:{'2' * 64}",
    "base_layers": 2,
    "docker": "28.0.1",
    **LOCKS,
}
LAYERS = [{"base": "b"}, {"more": "m"}, {"packages": "p"}]


def statement(
    tmp_path: Path, built_with: dict[str, Any], labels: dict[str, str], image: Image = IMAGE
) -> dict[str, Any]:
    about = {**ABOUT, "built_with": built_with} if built_with else ABOUT
    layers = [*LAYERS, {"app/about.json": json.dumps(about)}]
    named = {f"org.opencontainers.image.{name}": value for name, value in labels.items()}
    made = small_archives.make(tmp_path / "image.tar", layers, named)
    found = provenance.make(image, made, faq(), FIXTURE)
    assert (found.kind, found.type) == ("provenance", "application/vnd.in-toto+json")
    loaded: dict[str, Any] = json.loads(found.content)
    return loaded


def faq() -> Flow:
    return configuration.load_flow(configuration.open_project(FIXTURE), "faq")


def dependencies(found: dict[str, Any]) -> dict[str, Any]:
    every = found["predicate"]["buildDefinition"]["resolvedDependencies"]
    return {one.pop("name"): one for one in every}
