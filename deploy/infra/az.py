"""The Azure CLI, which has the Bicep compiler: run, and read as JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from deploy.errors import DeployError

PROGRAM = "az"
INSTALL = "https://learn.microsoft.com/cli/azure/install-azure-cli"
# How many of its last lines are shown where it fails.
LINES = 8


def run(arguments: Sequence[str], doing: str) -> Any:
    """Run `az` and return what it printed, as data. Raises `DeployError` with its complaint."""
    return _read(_az([*arguments, "--output", "json"], doing).stdout, doing)


def warnings(arguments: Sequence[str], doing: str) -> list[str]:
    """Run `az bicep …` and return its warnings. Raises `DeployError` with its complaint."""
    said = _az(arguments, doing).stderr.splitlines()
    # "Bicep CLI commands": ‹file›(‹line›,‹column›) : Warning ‹rule›: ‹message›
    return [line.strip().removeprefix("WARNING: ") for line in said if ") : Warning " in line]


def _az(arguments: Sequence[str], doing: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which(PROGRAM)
    if program is None:
        raise DeployError(doing, "the Azure CLI (az) is not installed", f"{INSTALL}, or inv doctor")
    done = subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise DeployError(doing, _complaint(done.stderr), _hint(done.stderr))
    return done


def _read(text: str, doing: str) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise DeployError(doing, "az printed something that is not JSON", "update az") from None


def _complaint(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("WARNING:")]
    return "\n".join(["az says:", *(f"    {line}" for line in lines[-LINES:])])


def _hint(text: str) -> str:
    """Return what to do about the failures that everybody meets once."""
    known = {
        "az login": "`az login`",
        "az bicep install": "`az bicep install`",
        "AuthorizationFailed": "you need Owner on the subscription, or hand the platform team the "
        "document of `inv infra.request`",
        "was not found": "is the name right, and was `inv infra.apply` run?",
        "could not be found": "is the name right, and was `inv infra.apply` run?",
    }
    return next((hint for sign, hint in known.items() if sign in text), "")
