"""A document as blocks, whichever format it is then written in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """The beginning of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows under heads; each row is as long as the heads."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Checklist:
    """Things to tick off."""

    items: tuple[str, ...]


Block = Heading | Paragraph | Table | Checklist


@dataclass(frozen=True)
class Document:
    """The whole, in order."""

    title: str
    blocks: tuple[Block, ...]
