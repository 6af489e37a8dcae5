"""What checks the files that are no Python: workflows, pipelines, YAML, shell scripts."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Linter:
    """A command, and patterns of the files that are put behind it; without patterns none are."""

    command: str
    patterns: tuple[str, ...] = ()


SCHEMA = "check-jsonschema --quiet"
LINTERS = (
    Linter("zizmor --quiet --no-progress --offline --persona pedantic", (".github",)),
    Linter(f"{SCHEMA} --builtin-schema vendor.github-workflows", (".github/workflows/*.yml",)),
    Linter(
        # The schema's expressions are JavaScript's, of which Python's come nearest.
        f"{SCHEMA} --builtin-schema vendor.azure-pipelines --data-transform azure-pipelines "
        "--regex-variant python",
        ("azure-pipelines/*.yml", "azure-pipelines/templates/*.yml"),
    ),
    Linter(f"{SCHEMA} --schemafile docs/schema/deploy.json", ("flows/*/deploy.yaml",)),
    Linter(f"{SCHEMA} --schemafile docs/schema/environments.json", ("environments.yaml",)),
    Linter("yamllint --strict ."),
    Linter("shellcheck", ("deploy/*.sh", ".ci/run")),
)


def commands(root: Path) -> list[str]:
    """Return the commands for the files in `root`; none for what a team has removed."""
    found = []
    for linter in LINTERS:
        files = sorted(
            path.relative_to(root).as_posix()
            for pattern in linter.patterns
            for path in root.glob(pattern)
        )
        if files or not linter.patterns:
            found.append(" ".join([linter.command, *map(shlex.quote, files)]))
    return found
