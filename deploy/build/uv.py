"""Run uv to lock requirements, and to install locked ones for another platform."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from uv import find_uv_bin

from deploy.core.errors import DeployError, quote_last_lines


def run(arguments: Sequence[str], operation: str, *, cwd: Path | None = None) -> str:
    """Run uv and return its output.

    Raises `DeployError` with the last lines of standard error if it fails.
    """
    result = subprocess.run(
        [find_uv_bin(), *arguments],
        cwd=cwd,
        env=_create_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        last_lines = quote_last_lines(result.stderr.splitlines(), 8)
        raise DeployError(operation, f"uv failed:\n{last_lines}")
    return result.stdout


def _create_environment() -> dict[str, str]:
    environment = {**os.environ}
    # uv has its own variables; those of pip set a mirror for uv as well.
    for pip, uv in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX")):
        if environment.get(pip):
            environment.setdefault(uv, environment[pip])
    environment.pop("VIRTUAL_ENV", None)
    return environment
