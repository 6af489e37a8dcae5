"""Values as Markdown, so that none of them is taken for markup (GitHub Flavored Markdown Spec)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from deploy.errors import Problem

# An underscore within a word is none; left alone, addresses and names stay what they are.
_MARKUP = re.compile(r"[\\`*\[\]|~$#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def text(value: str) -> str:
    """Return `value` so that it is shown as it is, on one line of the source."""
    shown = re.sub("[&<>]", lambda found: _ENTITIES[found[0]], value)
    shown = _MARKUP.sub(lambda found: f"\\{found[0]}", shown)
    return "<br>".join(line.strip() for line in shown.strip().splitlines())


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, its cells as they are."""
    lines = [heads, ["---"] * len(heads), *([text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section(title: str, content: str) -> str:
    """Return `content` under a heading."""
    return f"### {text(title)}\n\n{content}"


def folded(title: str, content: str) -> str:
    """Return `content` to be unfolded under `title`."""
    return f"<details><summary>{text(title)}</summary>\n\n{content}\n\n</details>"


def problems(found: Iterable[Problem]) -> str:
    """Return a list of problems, each with what to do next."""
    return "\n".join(
        f"- **{text(one.where)}**: {text(one.what)}"
        + (f"<br>→ {text(one.hint)}" if one.hint else "")
        for one in found
    )
