"""A document as blocks, independent of the output format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """The heading of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; each row has as many cells as `heads`."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Checklist:
    """A list of items to check off."""

    items: tuple[str, ...]


Block = Heading | Paragraph | Table | Checklist


@dataclass(frozen=True)
class Document:
    """A title and the blocks in their order."""

    title: str
    blocks: tuple[Block, ...]
