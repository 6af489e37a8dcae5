"""Our image of a flow, built by `deploy` from a copy of the flows."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker

from deploy.build import base_image, lock_files, packages
from deploy.config import configuration
from deploy.core.entities import Flow
from deploy.delivery.resolve_image import build_image
from tests.benchmarks import images
from tests.benchmarks.measure import Built
from tests.projects import FIXTURE

ROOT = Path(__file__).parents[2]
# Flows for the benchmark only, and whose packages they have: a lock of their own would need care.
FLOWS = Path(__file__).with_name("flows")
PACKAGES_OF = {"llm": "chat", "plain": "faq"}


class OwnImage:
    """Builds `flow` with `deploy` on `base`, in a copy of the project below `folder`.

    Without `base`, on one that is made from Debian packages.
    """

    def __init__(
        self, client: docker.DockerClient, flow: str, folder: Path, run: str, base: str = ""
    ) -> None:
        self._client = client
        self._run = run
        self._bases = 0
        self._root = copy_of_project(folder / "project")
        self._project = configuration.open_project(self._root)
        self._base = base
        self._flow = self._ordinary(flow)

    @property
    def source(self) -> Path:
        """The folder of the flow that is built: edit it to have something to rebuild."""
        return self._flow.folder

    @property
    def sample(self) -> Any:
        """The request that the flow comes with."""
        return json.loads((self.source / "sample.json").read_text(encoding="utf-8"))

    def clean(self) -> Built:
        """Build on a base that nothing was built on yet: packages, packing environment, image."""
        self._bases += 1
        tag = f"bench-own-base:{self._run}-{self._bases}"
        # What is kept by content (the volumes, the user's cache) is kept under other keys then.
        packages.RECIPE_VERSION = tag
        ordinary = self._ordinary(self._flow.name)
        found = base_image.ensure(self._client, ordinary.image, self._root)
        images.fresh(self._client, found.id, tag, self._run)
        self._flow = _on_base(ordinary, tag)
        return self.build()

    def build(self) -> Built:
        """Build the flow as it is now, on the base of the last `clean`."""
        start = time.monotonic()
        image = build_image(self._project, self._flow)
        return Built(image.id, time.monotonic() - start)

    def _ordinary(self, name: str) -> Flow:
        flow = configuration.load_flow(self._project, name)
        return _on_base(flow, self._base) if self._base else flow

    def environment(self, endpoint: str, key: str) -> dict[str, str]:
        """Return the variables that the flow's connections read, for a model at `endpoint`."""
        found = {}
        for connection in self._flow.connections.values():
            found[str(connection["api_base"])] = endpoint
            found[str(connection["api_key"])] = key
        return found


def copy_of_project(root: Path) -> Path:
    """Copy what a build reads of the fixture to `root`, to be changed there; return `root`."""
    shutil.copytree(FIXTURE / "flows", root / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(FLOWS, root / "flows", dirs_exist_ok=True)
    for flow, other in PACKAGES_OF.items():
        for name in (lock_files.REQUIREMENTS, lock_files.LOCK):
            shutil.copy(FIXTURE / "flows" / other / name, root / "flows" / flow / name)
    shutil.copy(FIXTURE / configuration.ENVIRONMENTS_FILE, root)
    if (ROOT / base_image.LOCK_FILE).exists():
        shutil.copy(ROOT / base_image.LOCK_FILE, root)
    return root


def _on_base(flow: Flow, tag: str) -> Flow:
    return replace(flow, image=replace(flow.image, base=tag))
