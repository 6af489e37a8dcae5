"""The example of an extension, installed as a distribution is, in a folder that only tests have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uv

from deploy import targets

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/target-containerapps"
MODULE = "flow_deploy_containerapps"


@contextmanager
def installed(folder: Path, distribution: Path = EXAMPLE) -> Iterator[None]:
    """Install a distribution, and be able to import it, inside of the block. Asks no index."""
    options = ["--offline", "--no-index", "--no-deps", "--quiet", "--no-cache"]
    command = [uv.find_uv_bin(), "pip", "install", *options, "--target", str(folder)]
    subprocess.run([*command, str(distribution)], check=True)
    sys.path.insert(0, str(folder))
    targets.forget()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [one for one in sys.modules if one.partition(".")[0] == MODULE]:
            del sys.modules[name]
        targets.forget()
