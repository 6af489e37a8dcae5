"""Print summaries of images as tables."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.core import output
from deploy.supply_chain.inspection import Inspection


def print_inspections(images: Sequence[Inspection]) -> None:
    """Print `images` for users: several tables for each."""
    for number, inspection in enumerate(images):
        if number:
            print("\n")
        _print_inspection(inspection)


def _print_inspection(inspection: Inspection) -> None:
    _print_facts(inspection)
    print()
    size = "MB".rjust(6)
    rows = [
        {"layer": layer.what, size: _format_megabytes(layer.size)} for layer in inspection.layers
    ]
    output.print_table([*rows, {"layer": "total", size: _format_megabytes(inspection.size)}])
    print()
    output.print_table(
        [
            {"largest packages": p.name, "version": p.version}
            | {"type": p.kind.capitalize(), size: _format_megabytes(p.size), "files": p.files}
            for p in inspection.largest
        ]
    )
    print()
    output.print_table(
        [{"label": name, "value": value} for name, value in inspection.labels.items()]
    )
    if inspection.attached:
        print()
        output.print_table(
            [
                {
                    "document": row["kind"],
                    "media type": row["type"],
                    "kB": f"{row['size'] / 1e3:.1f}",
                }
                | {"digest": row["digest"]}
                for row in inspection.attached
            ]
        )


def _print_facts(inspection: Inspection) -> None:
    rows = {
        "id": inspection.id,
        **({"published": inspection.published} if inspection.published else {}),
        "created": inspection.created,
        "commit": inspection.commit,
        "base": inspection.base,
        "platform": inspection.platform,
        "user": inspection.user,
        "port": ", ".join(inspection.ports),
        "command": " ".join(inspection.command),
        "content": f"{inspection.files} files, {inspection.python} Python packages, "
        f"{inspection.debian} Debian packages",
        "variables": ", ".join(inspection.variables),
    }
    headers = ("image", inspection.reference)
    output.print_table([dict(zip(headers, row, strict=True)) for row in rows.items()], headers)


def _format_megabytes(size: int) -> str:
    return f"{size / 1e6:6.1f}"
