"""The linters for files other than Python: workflows, pipelines, YAML, shell scripts."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Linter:
    """A command, and patterns of the files to pass to it; without patterns it gets none."""

    command: str
    patterns: tuple[str, ...] = ()


SCHEMA_COMMAND = "check-jsonschema --quiet"
LINTERS = (
    Linter("zizmor --quiet --no-progress --offline --persona pedantic", (".github",)),
    Linter(
        f"{SCHEMA_COMMAND} --builtin-schema vendor.github-workflows", (".github/workflows/*.yml",)
    ),
    Linter(
        # The schema's regular expressions are JavaScript's; Python's are the closest variant.
        f"{SCHEMA_COMMAND} --builtin-schema vendor.azure-pipelines --data-transform "
        "azure-pipelines "
        "--regex-variant python",
        ("azure-pipelines/*.yml", "azure-pipelines/templates/*.yml"),
    ),
    Linter(f"{SCHEMA_COMMAND} --schemafile docs/schema/deploy.json", ("flows/*/deploy.yaml",)),
    Linter(f"{SCHEMA_COMMAND} --schemafile docs/schema/cases.json", ("flows/*/tests/cases.yaml",)),
    Linter(f"{SCHEMA_COMMAND} --schemafile docs/schema/environments.json", ("environments.yaml",)),
    Linter("yamllint --strict ."),
    Linter("shellcheck", ("deploy/*.sh", ".ci/run")),
)


def list_commands(root: Path) -> list[str]:
    """Return the commands for the files in `root`; skip linters whose files were removed."""
    commands = []
    for linter in LINTERS:
        files = sorted(
            path.relative_to(root).as_posix()
            for pattern in linter.patterns
            for path in root.glob(pattern)
        )
        if files or not linter.patterns:
            commands.append(" ".join([linter.command, *map(shlex.quote, files)]))
    return commands
