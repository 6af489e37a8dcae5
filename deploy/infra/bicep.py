"""The Bicep files as Azure's own compiler reads them."""

from __future__ import annotations

from pathlib import Path

from deploy import console
from deploy.documents import show
from deploy.errors import DeployError, Problem
from deploy.infra import az
from deploy.infra.files import FOLDER

# "Bicep CLI commands": what is made goes nowhere; an entry point is read with its modules.
COMMANDS = {
    "*.bicep": (("bicep", "build", "--stdout"), ("bicep", "lint")),
    "*.bicepparam": (("bicep", "build-params", "--stdout"),),
}


def lint(root: Path) -> list[str]:
    """Compile and lint each entry point and parameter file; return the warnings, each once.

    Nothing where there are none. Raises `DeployError` with the errors of all of them.
    """
    found: list[str] = []
    problems: list[Problem] = []
    for pattern, commands in COMMANDS.items():
        for path in sorted((root / FOLDER).glob(pattern)):
            for command in commands:
                try:
                    with console.phase("bicep", f"{command[1]} {show(path)}"):
                        found += az.warnings([*command, "--file", str(path)], show(path))
                except DeployError as error:
                    problems += error.problems
    if problems:
        raise DeployError.of(list(dict.fromkeys(problems)))
    return list(dict.fromkeys(found))
