"""An import for people, and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploy import config, console
from deploy.llmops.model import Import, Note


def as_data(found: Import, written: bool) -> dict[str, Any]:
    """Return `found` as JSON can carry it."""
    return {
        "flow": found.flow,
        "written": written,
        "files": rows(found),
        "environments": list(found.added),
        "variables": dict(found.variables),
        "guessed": [vars(note) for note in found.guessed],
        "left": [vars(note) for note in found.left],
    }


def rows(found: Import) -> list[dict[str, str]]:
    """Return what is written, and from what."""
    files = [{"file": name, "from": file.origin} for name, file in found.files.items()]
    added = {"file": config.ENVIRONMENTS, "from": ", ".join(found.added)}
    return [*files, *([added] if found.added else [])]


def show(found: Import, written: bool) -> None:
    """Print what is written and from what, what was guessed, what is not carried, what is next."""
    console.table(rows(found))
    _notes("Guessed; look at each:", found.guessed)
    _notes("Not carried over:", found.left)
    if found.variables:
        print("\nVariables for .env (values are nowhere in the repository):")
        console.table([{"name": n, "is": what} for n, what in found.variables.items()])
    if written:
        print(f"\nNext:  inv lock --flow {found.flow}")
        print(f"       inv deploy --flow {found.flow}")
    else:
        print("\nNothing was written: --dry-run")


def _notes(title: str, notes: Sequence[Note]) -> None:
    if notes:
        print(f"\n{title}")
    for note in notes:
        print(f"{note.where}: {note.what}\n  → {note.then}")
