"""Render a document as one self-contained HTML page, also for printing."""

from __future__ import annotations

import re
from html import escape

from deploy.infra.request.document import Block, Checklist, Document, Heading, Paragraph, Table

STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-size: 13px }
th, td { border: 1px solid #bbb; padding: .3rem .5rem; text-align: left; vertical-align: top;
  overflow-wrap: anywhere }
th { background: #f0f0f0 } ul { list-style: none; padding: 0 } h2 { margin-top: 2rem }
@media print { body { max-width: none; margin: 0 } tr { break-inside: avoid } }"""


def render(document: Document) -> str:
    """Return `document` as HTML."""
    title = escape(document.title)
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{title}</title>",
        f"<style>\n{STYLE}\n</style></head><body>",
        f"<h1>{title}</h1>",
        *(_block(block) for block in document.blocks),
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h2>{escape(block.text)}</h2>"
    if isinstance(block, Paragraph):
        return f"<p>{_text(block.text)}</p>"
    if isinstance(block, Checklist):
        items = [f"<li><input type=checkbox> {_text(item)}</li>" for item in block.items]
        return "\n".join(["<ul>", *items, "</ul>"])
    return _table(block)


def _table(table: Table) -> str:
    rows = [_row(table.heads, "th")] if any(table.heads) else []
    rows += [_row(row, "td") for row in table.rows]
    return "\n".join(["<table>", *rows, "</table>"])


def _row(cells: tuple[str, ...], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"


def _text(text: str) -> str:
    """Return text as HTML, with commands between backticks as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))
