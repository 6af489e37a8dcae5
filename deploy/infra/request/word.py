"""A document as .docx, for Word and LibreOffice."""

from __future__ import annotations

import io

import docx
from docx.enum.section import WD_ORIENTATION
from docx.oxml import OxmlElement
from docx.shared import Cm, Pt
from docx.table import _Row

from deploy.infra.request.document import Block, Checklist, Document, Heading, Paragraph, Table

STYLE = "Light Grid Accent 1"
UNTICKED = "☐"


def write(document: Document) -> bytes:
    """Return `document` as the content of a .docx file."""
    made = docx.Document()
    _lay_out(made)
    made.core_properties.title = document.title
    made.core_properties.author = ""
    made.add_heading(document.title, level=0)
    for block in document.blocks:
        _block(made, block)
    content = io.BytesIO()
    made.save(content)
    return content.getvalue()


def _lay_out(made: docx.document.Document) -> None:
    """Tables have long cells: the page lies on its side, and the letters are small."""
    section = made.sections[0]
    section.orientation = WD_ORIENTATION.LANDSCAPE
    section.page_width, section.page_height = Cm(29.7), Cm(21)
    section.left_margin = section.right_margin = Cm(1.8)
    section.top_margin = section.bottom_margin = Cm(1.8)
    made.styles["Normal"].font.size = Pt(9)


def _block(made: docx.document.Document, block: Block) -> None:
    if isinstance(block, Heading):
        made.add_heading(block.text, level=1)
    elif isinstance(block, Paragraph):
        made.add_paragraph(block.text)
    elif isinstance(block, Checklist):
        for item in block.items:
            made.add_paragraph(f"{UNTICKED} {item}")
    else:
        _table(made, block)


def _table(made: docx.document.Document, table: Table) -> None:
    heads = [table.heads] if any(table.heads) else []
    rows = [*heads, *table.rows]
    grid = made.add_table(rows=len(rows), cols=len(table.heads))
    grid.style = made.styles[STYLE]
    for line, row in zip(grid.rows, rows, strict=True):
        for cell, text in zip(line.cells, row, strict=True):
            cell.text = text
    if heads:
        _repeat(grid.rows[0])
    # Two tables in a row would run together.
    made.add_paragraph()


def _repeat(row: _Row) -> None:
    """Let the row be at the top of each page that the table goes over."""
    row._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))
