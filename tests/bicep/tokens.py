"""A Bicep file as tokens. A string keeps its parts: texts, and the sources of what is filled in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

PATTERN = re.compile(
    r"(?P<space>[ \t\r]+|//[^\n]*)|(?P<newline>\n)|(?P<number>\d+)|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<mark>&&|\|\||==|!=|>=|<=|\?\?|[{}\[\]():,.=?!<>@+-])"
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "'": "'", "\\": "\\", "$": "$"}


class BicepError(Exception):
    """What is wrong with a file, and where."""


@dataclass(frozen=True)
class Token:
    """`kind` is newline, number, word, mark, string or end."""

    kind: str
    text: str
    line: int
    parts: tuple[Any, ...] = ()


def read(source: str, where: str) -> list[Token]:
    """Return the tokens of `source`. Raises `BicepError`."""
    found: list[Token] = []
    at, line = 0, 1
    while at < len(source):
        if source[at] == "'":
            parts, end = _string(source, at, f"{where}:{line}")
            found.append(Token("string", source[at:end], line, parts))
            at = end
            continue
        match = PATTERN.match(source, at)
        if not match:
            raise BicepError(f"{where}:{line}: cannot read {source[at : at + 20]!r}")
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(kind, match[0], line))
        line += match[0].count("\n")
        at = match.end()
    return [*found, Token("end", "", line)]


def _string(source: str, at: int, where: str) -> tuple[tuple[Any, ...], int]:
    """Return the parts of the string that begins at `at`, and where it ends.

    A part is ("text", …) or ("fill", source).
    """
    parts: list[Any] = []
    text = ""
    at += 1
    while source[at] != "'":
        if source[at] == "\n":
            raise BicepError(f"{where}: a string does not end")
        if source[at] == "\\":
            if source[at + 1] not in ESCAPES:
                raise BicepError(f"{where}: no escape \\{source[at + 1]}")
            text += ESCAPES[source[at + 1]]
            at += 2
        elif source.startswith("${", at):
            end = source.index("}", at)
            parts += [("text", text), ("fill", source[at + 2 : end])]
            text, at = "", end + 1
        else:
            text += source[at]
            at += 1
    return (*parts, ("text", text)), at + 1
