"""Render a document as Markdown."""

from __future__ import annotations

from deploy.infra.request.document import Block, Checklist, Document, Heading, Paragraph, Table


def render(document: Document) -> str:
    """Return `document` as Markdown."""
    return (
        "\n\n".join([f"# {document.title}", *(_block(block) for block in document.blocks)]) + "\n"
    )


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"## {block.text}"
    if isinstance(block, Paragraph):
        return block.text
    if isinstance(block, Checklist):
        return "\n".join(f"- [ ] {item}" for item in block.items)
    return _table(block)


def _table(table: Table) -> str:
    rows = [table.heads, tuple("---" for _ in table.heads), *table.rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
