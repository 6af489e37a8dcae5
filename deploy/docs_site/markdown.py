"""Replace the links of Markdown pages.

Supports the part of "GitHub Flavored Markdown Spec" that the pages use: fenced blocks, code spans
within one line, inline links.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,})(?P<language>[\w-]*)[^`]*$")
SPAN = re.compile(r"(?<!`)(`+)(?!`)(?P<code>.+?)(?<!`)\1(?!`)")
LINK = re.compile(r"(?P<head>!?\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\()(?P<target>[^()\s]+)\)")


def replace_links(page: str, change: Callable[[str, str], str]) -> str:
    """Return the page with each link replaced by `change(link, target)`."""

    def changed(line: str) -> str:
        prose, parts, end = blank_code_spans(line), [], 0
        for match in LINK.finditer(prose):
            link = line[match.start() : match.end()]
            parts += [line[end : match.start()], change(link, match["target"])]
            end = match.end()
        return "".join(parts) + line[end:]

    lines = page.split("\n")
    for number, line in iterate_prose(page):
        lines[number - 1] = changed(line)
    return "\n".join(lines)


def iterate_prose(page: str) -> Iterator[tuple[int, str]]:
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


def blank_code_spans(line: str) -> str:
    """Return the line with code spans blanked, so that no link is found in them; same length."""
    return SPAN.sub(lambda match: "`" * len(match[0]), line)
