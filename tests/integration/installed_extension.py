"""Extensions as people install them, in a folder that only tests have. No index is asked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uv

from deploy import kinds
from deploy.config import target_registry

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/target-containerapps"
MODULE = "flow_deploy_containerapps"


@contextmanager
def installed(folder: Path, distribution: Path) -> Iterator[None]:
    """Install a distribution into `folder`, from which it can be imported inside of the block."""
    options = ["--offline", "--no-index", "--no-deps", "--quiet", "--no-cache"]
    command = [uv.find_uv_bin(), "pip", "install", *options, "--target", str(folder)]
    subprocess.run([*command, str(distribution)], check=True)
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    target_registry.clear_cache()
    kinds.clear_cache()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
        target_registry.clear_cache()
        kinds.clear_cache()
