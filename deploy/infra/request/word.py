"""A document as .docx, for Word and LibreOffice."""

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
# Of a page on its side, without its margins.
WIDTH = Cm(26.1)
# The most letters that a column's width is reckoned from, and those that stand for its margins.
WIDEST, MARGINS = 48, 5


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
        line = made.add_paragraph()
        _text(line, block.text)
        line.paragraph_format.keep_with_next = True
    elif isinstance(block, Checklist):
        for item in block.items:
            _text(made.add_paragraph(), f"{UNTICKED} {item}")
    else:
        _table(made, block)


def _table(made: docx.document.Document, table: Table) -> None:
    heads = [table.heads] if any(table.heads) else []
    rows = [*heads, *table.rows]
    grid = made.add_table(rows=len(rows), cols=len(table.heads))
    grid.style = made.styles[STYLE]
    for line, row in zip(grid.rows, rows, strict=True):
        _mark(line, "w:cantSplit")
        for cell, text in zip(line.cells, row, strict=True):
            _text(cell.paragraphs[0], text)
    _set_widths(grid, rows)
    if heads:
        # At the top of each page that the table goes over.
        _mark(grid.rows[0], "w:tblHeader")
    else:
        look = grid._tbl.tblPr.find(qn("w:tblLook"))
        look.set(qn("w:firstRow"), "0")
        # The same as bits, which some programs go by.
        look.set(qn("w:val"), "0480")
    # Two tables in a row would run together.
    made.add_paragraph()


def _text(line: Line, text: str) -> None:
    """Write text in which commands stand between backticks."""
    for number, part in enumerate(text.split("`")):
        run = line.add_run(part)
        if number % 2:
            run.font.name = CODE


def _set_widths(grid: Grid, rows: list[tuple[str, ...]]) -> None:
    """Give each column a width by its longest text."""
    letters = [
        min(max(len(text) for text in column), WIDEST) + MARGINS
        for column in zip(*rows, strict=True)
    ]
    grid.autofit = False
    for column, share in zip(grid.columns, letters, strict=True):
        # Word goes by the cells, LibreOffice by the columns.
        for part in (column, *column.cells):
            part.width = int(WIDTH * share / sum(letters))


def _mark(row: _Row, what: str) -> None:
    row._tr.get_or_add_trPr().append(OxmlElement(what))
