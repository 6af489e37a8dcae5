"""The Bicep files, compiled and linted by Azure's own compiler."""

from __future__ import annotations

from pathlib import Path

from deploy.core import progress
from deploy.core.errors import DeployError, Problem
from deploy.core.yaml_files import display_path
from deploy.infra import azure_cli
from deploy.infra.files import INFRA_FOLDER

# "Bicep CLI commands". The output is discarded; compiling an entry point compiles its modules.
COMMANDS = {
    "*.bicep": (("bicep", "build", "--stdout"), ("bicep", "lint")),
    "*.bicepparam": (("bicep", "build-params", "--stdout"),),
}


def lint(root: Path) -> list[str]:
    """Compile and lint each entry point and parameter file; return the warnings without duplicates.

    Raise `DeployError` with the errors of all files.
    """
    warnings: list[str] = []
    problems: list[Problem] = []
    for pattern, commands in COMMANDS.items():
        for path in sorted((root / INFRA_FOLDER).glob(pattern)):
            for command in commands:
                try:
                    with progress.phase("bicep", f"{command[1]} {display_path(path)}"):
                        warnings += azure_cli.list_bicep_warnings(
                            [*command, "--file", str(path)], display_path(path)
                        )
                except DeployError as error:
                    problems += error.problems
    if problems:
        raise DeployError.from_problems(list(dict.fromkeys(problems)))
    return list(dict.fromkeys(warnings))
