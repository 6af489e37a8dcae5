"""Parts of Markdown pages that tests compare with the code: blocks, code spans, links, anchors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.docs_site.markdown import FENCE, LINK, SPAN, blank_code_spans, iterate_prose

HEADING = re.compile(r"^#{1,6} +(?P<title>.+?)(?: +#+)?$")


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    # Empty if the block names none.
    language: str
    text: str
    # The number of the text's first line.
    line: int


@dataclass(frozen=True)
class Fragment:
    """A part of a line of prose."""

    text: str
    # From 1.
    line: int


def find_blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    opened: re.Match[str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.split("\n"), 1):
        if opened is None:
            opened, lines, first = FENCE.match(line), [], number + 1
        elif line.strip() == opened["marks"]:
            yield Block(opened["language"], "\n".join(lines), first)
            opened = None
        else:
            lines.append(line.removeprefix(opened["indent"]))


def find_code_spans(page: str) -> Iterator[Fragment]:
    """Yield the code spans of a page, without backticks."""
    for number, line in iterate_prose(page):
        for match in SPAN.finditer(line):
            yield Fragment(match["code"].strip(), number)


def find_links(page: str) -> Iterator[Fragment]:
    """Yield the targets of links and images."""
    for number, line in iterate_prose(page):
        for match in LINK.finditer(blank_code_spans(line)):
            yield Fragment(match["target"], number)


def list_anchors(page: str) -> set[str]:
    """Return the anchors that links may use, as GitHub derives them from the headings."""
    last_numbers: dict[str, int] = {}
    for _, line in iterate_prose(page):
        if match := HEADING.match(line):
            title = LINK.sub(lambda link: link["text"], match["title"].replace("`", ""))
            slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            last_numbers[slug] = last_numbers.get(slug, -1) + 1
    return {
        slug if not number else f"{slug}-{number}"
        for slug, last in last_numbers.items()
        for number in range(last + 1)
    }
