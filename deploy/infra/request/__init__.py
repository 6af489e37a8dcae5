"""The Infrastructure Request: what a project hands to a platform team, in three formats."""

from __future__ import annotations

from pathlib import Path

from deploy.errors import DeployError, nearest
from deploy.infra.needs import needs_of
from deploy.infra.wanted import Wanted

FORMATS = ("md", "html", "docx")


def write(wanted: Wanted, format: str, path: Path) -> None:
    """Write the request for `wanted` to `path`. Raises `DeployError`."""
    from deploy.infra.request import content, markdown, page

    if format not in FORMATS:
        raise DeployError("--format", f"unknown format {format!r}", nearest(format, FORMATS))
    document = content.document_of(needs_of(wanted))
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "docx":
        from deploy.infra.request import word

        path.write_bytes(word.write(document))
        return
    made = {"md": markdown.write, "html": page.write}[format](document)
    path.write_text(made, encoding="utf-8")
