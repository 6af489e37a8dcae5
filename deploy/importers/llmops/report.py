"""The report on an import, as text and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploy.config import configuration
from deploy.core import output
from deploy.importers.llmops.entities import Import, Note


def to_dict(imported: Import, written: bool) -> dict[str, Any]:
    """Return the import as data for JSON."""
    return {
        "flow": imported.flow,
        "written": written,
        "files": list_files(imported),
        "environments": list(imported.new_environments),
        "variables": dict(imported.variables),
        "assumptions": [vars(note) for note in imported.assumptions],
        "not_imported": [vars(note) for note in imported.unsupported],
    }


def list_files(imported: Import) -> list[dict[str, str]]:
    """Return the files that are written, each with its source."""
    files = [{"file": name, "from": file.origin} for name, file in imported.files.items()]
    added = {"file": configuration.ENVIRONMENTS_FILE, "from": ", ".join(imported.new_environments)}
    return [*files, *([added] if imported.new_environments else [])]


def print_report(imported: Import, written: bool) -> None:
    """Print the written files, assumptions, unsupported entries, variables and next steps."""
    output.print_table(list_files(imported))
    _notes("Assumptions to check:", imported.assumptions)
    _notes("Not imported:", imported.unsupported)
    if imported.variables:
        print("\nVariables to set in .env (the import contains no values):")
        output.print_table([{"name": n, "purpose": what} for n, what in imported.variables.items()])
    if written:
        print(f"\nNext:  inv lock --flow {imported.flow}")
        print(f"       inv deploy --flow {imported.flow}")
    else:
        print("\nNothing was written: --dry-run")


def _notes(title: str, notes: Sequence[Note]) -> None:
    if notes:
        print(f"\n{title}")
    for note in notes:
        print(f"{note.where}: {note.what}\n  → {note.then}")
