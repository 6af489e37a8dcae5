"""The Infrastructure Request: a project's document for a platform team, in three formats."""

from __future__ import annotations

from pathlib import Path

from deploy.core.errors import DeployError, suggest_nearest
from deploy.infra.desired import DesiredState
from deploy.infra.requirements import collect_requirements

FORMATS = ("md", "html", "docx")


def write(desired: DesiredState, format: str, path: Path) -> None:
    """Write the request for `desired` to `path`. Raise `DeployError` for an unknown format."""
    from deploy.infra.request import content, html, markdown

    if format not in FORMATS:
        raise DeployError(
            "--format", f"unknown format {format!r}", suggest_nearest(format, FORMATS)
        )
    document = content.build_document(collect_requirements(desired))
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "docx":
        from deploy.infra.request import word

        path.write_bytes(word.render(document))
        return
    rendered = {"md": markdown.render, "html": html.render}[format](document)
    path.write_text(rendered, encoding="utf-8")
