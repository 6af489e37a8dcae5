"""The Azure CLI, which includes the Bicep compiler: run it and read its JSON output."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from deploy.core.errors import DeployError, quote_last_lines

PROGRAM = "az"
INSTALL = "https://learn.microsoft.com/cli/azure/install-azure-cli"
# How many of its last lines an error shows.
LINES = 8


def run_json(arguments: Sequence[str], operation: str) -> Any:
    """Run `az` and return its JSON output. Raise `DeployError` with az's error message."""
    return _read(_az([*arguments, "--output", "json"], operation).stdout, operation)


def list_bicep_warnings(arguments: Sequence[str], operation: str) -> list[str]:
    """Run `az bicep …` and return its warnings. Raise `DeployError` with az's error message."""
    lines = _az(arguments, operation).stderr.splitlines()
    # "Bicep CLI commands": ‹file›(‹line›,‹column›) : Warning ‹rule›: ‹message›
    return [line.strip().removeprefix("WARNING: ") for line in lines if ") : Warning " in line]


def _az(arguments: Sequence[str], operation: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which(PROGRAM)
    if program is None:
        raise DeployError(
            operation, "the Azure CLI (az) is not installed", f"{INSTALL}, or inv doctor"
        )
    completed = subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if completed.returncode:
        raise DeployError(
            operation, _format_error(completed.stderr), _suggest_fix(completed.stderr)
        )
    return completed


def _read(text: str, operation: str) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise DeployError(operation, "az printed something that is not JSON", "update az") from None


def _format_error(text: str) -> str:
    lines = (line for line in text.splitlines() if not line.startswith("WARNING:"))
    return f"az says:\n{quote_last_lines(lines, LINES)}"


def _suggest_fix(text: str) -> str:
    """Return a hint for common failures, or an empty string."""
    known = {
        "az login": "`az login`",
        "az bicep install": "`az bicep install`",
        "AuthorizationFailed": "you need Owner on the subscription, or hand the platform team the "
        "document of `inv infra.request`",
        "was not found": "is the name right, and was `inv infra.apply` run?",
        "could not be found": "is the name right, and was `inv infra.apply` run?",
    }
    return next((hint for sign, hint in known.items() if sign in text), "")
