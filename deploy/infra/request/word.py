"""Render a document as .docx, for Word and LibreOffice."""

from __future__ import annotations

import io

import docx
from docx.enum.section import WD_ORIENTATION
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt
from docx.table import Table as Grid
from docx.table import _Row
from docx.text.paragraph import Paragraph as Line

from deploy.infra.request.document import Block, Checklist, Document, Heading, Paragraph, Table

STYLE = "Light Grid Accent 1"
CODE = "Courier New"
UNTICKED = "☐"
# The text width of a landscape A4 page, without its margins.
WIDTH = Cm(26.1)
# In characters: the most that count towards a column's width, and the share of its cell margins.
WIDEST, MARGINS = 48, 5


def render(document: Document) -> bytes:
    """Return `document` as the content of a .docx file."""
    word_document = docx.Document()
    _set_page_layout(word_document)
    word_document.core_properties.title = document.title
    word_document.core_properties.author = ""
    word_document.add_heading(document.title, level=0)
    for block in document.blocks:
        _block(word_document, block)
    content = io.BytesIO()
    word_document.save(content)
    return content.getvalue()


def _set_page_layout(word_document: docx.document.Document) -> None:
    """Set landscape format and small letters, as tables have long cells."""
    section = word_document.sections[0]
    section.orientation = WD_ORIENTATION.LANDSCAPE
    section.page_width, section.page_height = Cm(29.7), Cm(21)
    section.left_margin = section.right_margin = Cm(1.8)
    section.top_margin = section.bottom_margin = Cm(1.8)
    word_document.styles["Normal"].font.size = Pt(9)


def _block(word_document: docx.document.Document, block: Block) -> None:
    if isinstance(block, Heading):
        word_document.add_heading(block.text, level=1)
    elif isinstance(block, Paragraph):
        line = word_document.add_paragraph()
        _text(line, block.text)
        line.paragraph_format.keep_with_next = True
    elif isinstance(block, Checklist):
        for item in block.items:
            _text(word_document.add_paragraph(), f"{UNTICKED} {item}")
    else:
        _table(word_document, block)


def _table(word_document: docx.document.Document, table: Table) -> None:
    heads = [table.heads] if any(table.heads) else []
    rows = [*heads, *table.rows]
    grid = word_document.add_table(rows=len(rows), cols=len(table.heads))
    grid.style = word_document.styles[STYLE]
    for line, row in zip(grid.rows, rows, strict=True):
        _add_row_property(line, "w:cantSplit")
        for cell, text in zip(line.cells, row, strict=True):
            _text(cell.paragraphs[0], text)
    _set_widths(grid, rows)
    if heads:
        # Repeat the heads on each page of the table.
        _add_row_property(grid.rows[0], "w:tblHeader")
    else:
        table_look = grid._tbl.tblPr.find(qn("w:tblLook"))
        table_look.set(qn("w:firstRow"), "0")
        # The same as a bit mask, which some programs read instead.
        table_look.set(qn("w:val"), "0480")
    # Without a paragraph between them, two adjacent tables would merge.
    word_document.add_paragraph()


def _text(line: Line, text: str) -> None:
    """Write text, with commands between backticks in a code font."""
    for number, part in enumerate(text.split("`")):
        run = line.add_run(part)
        if number % 2:
            run.font.name = CODE


def _set_widths(grid: Grid, rows: list[tuple[str, ...]]) -> None:
    """Set each column's width in proportion to its longest text."""
    characters = [
        min(max(len(text) for text in column), WIDEST) + MARGINS
        for column in zip(*rows, strict=True)
    ]
    grid.autofit = False
    for column, share in zip(grid.columns, characters, strict=True):
        # Word uses the widths of the cells, LibreOffice those of the columns.
        for sized in (column, *column.cells):
            sized.width = int(WIDTH * share / sum(characters))


def _add_row_property(row: _Row, tag: str) -> None:
    row._tr.get_or_add_trPr().append(OxmlElement(tag))
