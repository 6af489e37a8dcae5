"""Text as Markdown, escaped so that it is not read as markup (GitHub Flavored Markdown Spec)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from deploy.core.errors import Problem

# An underscore within a word is not markup; without escapes, addresses and names stay readable.
_MARKUP = re.compile(r"[\\`*\[\]|~$#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escape_text(value: str) -> str:
    """Return `value` escaped, on one source line, so that it is displayed literally."""
    text = re.sub("[&<>]", lambda match: _ENTITIES[match[0]], value)
    text = _MARKUP.sub(lambda match: f"\\{match[0]}", text)
    return "<br>".join(line.strip() for line in text.strip().splitlines())


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with the given heads; the cells of `rows` are escaped."""
    lines = [
        headings,
        ["---"] * len(headings),
        *([escape_text(cell) for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section(title: str, content: str) -> str:
    """Return `content` under a heading."""
    return f"### {escape_text(title)}\n\n{content}"


def details(title: str, content: str) -> str:
    """Return `content`, folded under `title`."""
    return f"<details><summary>{escape_text(title)}</summary>\n\n{content}\n\n</details>"


def problem_list(problems: Iterable[Problem]) -> str:
    """Return a list of problems, each with its hint."""
    return "\n".join(
        f"- **{escape_text(problem.where)}**: {escape_text(problem.what)}"
        + (f"<br>→ {escape_text(problem.hint)}" if problem.hint else "")
        for problem in problems
    )
