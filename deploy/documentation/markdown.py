"""What a page in Markdown holds: blocks of code, code within lines, links, and what links point to.

As much of "GitHub Flavored Markdown Spec" as the pages use: fenced blocks, code spans in one line,
inline links, headings that begin with #.
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
    """A fenced block: its language, empty where there is none, its text, and its first line."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Piece:
    """Something in a line of prose: its text, and the line's number, from 1."""

    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks."""
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


def spans(page: str) -> Iterator[Piece]:
    """Yield code within lines, without its marks."""
    for number, line in _prose(page):
        for found in SPAN.finditer(line):
            yield Piece(found["code"].strip(), number)


def links(page: str) -> Iterator[Piece]:
    """Yield the targets of links and pictures."""
    for number, line in _prose(page):
        for found in LINK.finditer(_without_spans(line)):
            yield Piece(found["target"], number)


def anchors(page: str) -> set[str]:
    """Return what a link may have after its #, as GitHub makes it of the headings."""
    seen: dict[str, int] = {}
    for _, line in _prose(page):
        if found := HEADING.match(line):
            title = LINK.sub(lambda link: link["text"], found["title"].replace("`", ""))
            slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            seen[slug] = seen.get(slug, -1) + 1
    return {
        slug if not n else f"{slug}-{n}" for slug, last in seen.items() for n in range(last + 1)
    }


def relink(page: str, change: Callable[[str, str], str]) -> str:
    """Return the page with each link as `change` has it, given the link and its target."""

    def changed(line: str) -> str:
        plain, parts, end = _without_spans(line), [], 0
        for found in LINK.finditer(plain):
            whole = line[found.start() : found.end()]
            parts += [line[end : found.start()], change(whole, found["target"])]
            end = found.end()
        return "".join(parts) + line[end:]

    lines = page.split("\n")
    for number, line in _prose(page):
        lines[number - 1] = changed(line)
    return "\n".join(lines)


def _prose(page: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are in no fenced block."""
    marks = ""
    for number, line in enumerate(page.split("\n"), 1):
        found = FENCE.match(line)
        if marks:
            marks = "" if line.strip() == marks else marks
        elif found:
            marks = found["marks"]
        else:
            yield number, line


def _without_spans(line: str) -> str:
    """Return the line with code blanked out, so that brackets in it are no links; equally long."""
    return SPAN.sub(lambda found: "`" * len(found[0]), line)
