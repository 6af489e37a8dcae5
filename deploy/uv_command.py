"""Run uv: lock requirements, and install locked ones for another platform."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from uv import find_uv_bin

from deploy.errors import DeployError


def run(arguments: Sequence[str], doing: str, *, cwd: Path | None = None) -> str:
    """Run uv and return what it printed.

    Raises `DeployError` with the end of its complaint where it fails.
    """
    done = subprocess.run(
        [find_uv_bin(), *arguments],
        cwd=cwd,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line.rstrip() for line in done.stderr.splitlines() if line.strip()]
        raise DeployError(doing, "\n".join(["uv says:", *[f"    {line}" for line in lines[-8:]]]))
    return done.stdout


def _environment() -> dict[str, str]:
    environment = {**os.environ}
    # uv has variables of its own; who has set pip's for a mirror means uv as well.
    for pip, uv in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX")):
        if environment.get(pip):
            environment.setdefault(uv, environment[pip])
    environment.pop("VIRTUAL_ENV", None)
    return environment
