"""Linters of workflow files."""

from __future__ import annotations

from pathlib import Path

from deploy.cli import linters


def test_linters_get_the_files_that_are_there(tmp_path: Path) -> None:
    for name in (".github/workflows/b.yml", ".github/workflows/a.yml", "environments.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert linters.list_commands(tmp_path) == [
        "zizmor --quiet --no-progress --offline --persona pedantic .github",
        "check-jsonschema --quiet --builtin-schema vendor.github-workflows "
        ".github/workflows/a.yml .github/workflows/b.yml",
        "check-jsonschema --quiet --schemafile docs/schema/environments.json environments.yaml",
        "yamllint --strict .",
    ]
