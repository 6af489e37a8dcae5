"""Parse Markdown pages: fenced blocks, code spans, links and anchors.

Supports the part of "GitHub Flavored Markdown Spec" that the pages use: fenced blocks, code spans
within one line, inline links, headings that begin with #.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,})(?P<language>[\w-]*)[^`]*$")
SPAN = re.compile(r"(?<!`)(`+)(?!`)(?P<code>.+?)(?<!`)\1(?!`)")
LINK = re.compile(r"(?P<head>!?\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\()(?P<target>[^()\s]+)\)")
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
    for number, line in _iterate_prose(page):
        for match in SPAN.finditer(line):
            yield Fragment(match["code"].strip(), number)


def find_links(page: str) -> Iterator[Fragment]:
    """Yield the targets of links and images."""
    for number, line in _iterate_prose(page):
        for match in LINK.finditer(_blank_code_spans(line)):
            yield Fragment(match["target"], number)


def list_anchors(page: str) -> set[str]:
    """Return the anchors that links may use, as GitHub derives them from the headings."""
    last_numbers: dict[str, int] = {}
    for _, line in _iterate_prose(page):
        if match := HEADING.match(line):
            title = LINK.sub(lambda link: link["text"], match["title"].replace("`", ""))
            slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            last_numbers[slug] = last_numbers.get(slug, -1) + 1
    return {
        slug if not number else f"{slug}-{number}"
        for slug, last in last_numbers.items()
        for number in range(last + 1)
    }


def replace_links(page: str, change: Callable[[str, str], str]) -> str:
    """Return the page with each link replaced by `change(link, target)`."""

    def changed(line: str) -> str:
        prose, parts, end = _blank_code_spans(line), [], 0
        for match in LINK.finditer(prose):
            link = line[match.start() : match.end()]
            parts += [line[end : match.start()], change(link, match["target"])]
            end = match.end()
        return "".join(parts) + line[end:]

    lines = page.split("\n")
    for number, line in _iterate_prose(page):
        lines[number - 1] = changed(line)
    return "\n".join(lines)


def _iterate_prose(page: str) -> Iterator[tuple[int, str]]:
    """Yield each line outside of fenced blocks with its number."""
    marks = ""
    for number, line in enumerate(page.split("\n"), 1):
        match = FENCE.match(line)
        if marks:
            marks = "" if line.strip() == marks else marks
        elif match:
            marks = match["marks"]
        else:
            yield number, line


def _blank_code_spans(line: str) -> str:
    """Return the line with code spans blanked, so that no link is found in them; same length."""
    return SPAN.sub(lambda match: "`" * len(match[0]), line)
