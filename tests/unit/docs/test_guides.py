"""The guides quote messages and name tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
# What takes the place of a value in a quoted message, and in a message of the code.
VALUE = re.compile(r"…|‹[^›]*›")
HOLE = "\0"


@cache
def messages() -> tuple[str, ...]:
    """Return every text of the code, with a hole where a value goes."""
    found = set()
    for path in sorted((ROOT / "deploy").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        # Docstrings are not printed.
        printed = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in printed:
                continue
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else HOLE for p in node.values)
                found.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return tuple(found)


def is_said(quoted: str) -> bool:
    """Whether the constant parts of `quoted` stand in one text of the code, in this order."""
    parts = [part.strip() for part in VALUE.split(quoted) if part.strip()]
    pattern = re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)
    return any(pattern.search(text) for text in messages())


def rows(page: str) -> list[list[str]]:
    """Return the cells of every table of a page, heads and lines left out."""
    lines = (DOCS / page).read_text("utf-8").splitlines()
    tables = [line for line in lines if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in tables]


def quoted_messages() -> list[str]:
    first = [row[0] for row in rows("troubleshooting.md") if row[0] != "you see"]
    return [text for cell in first for text in re.findall(r"`([^`]+)`", cell)]


# Not messages: what the first column of the page has in code beside them.
NAMES = {"/", "/feedback"}


@pytest.mark.parametrize("quoted", sorted(set(quoted_messages()) - NAMES))
def test_each_message_in_troubleshooting_is_in_the_code(quoted: str) -> None:
    text = quoted.replace("deploy.yaml", "…").replace("requirements.txt", "…")
    assert is_said(text), quoted


def test_an_obsolete_message_is_detected() -> None:
    assert len(quoted_messages()) > 100
    assert not is_said("no engine answers on …")
    assert not is_said("at … no engine answers")


def named_tests() -> list[str]:
    return re.findall(r"`(tests/[^`]+::[^`]+)`", (DOCS / "security.md").read_text("utf-8"))


@pytest.mark.parametrize("name", named_tests())
def test_each_test_named_in_security_exists(name: str) -> None:
    path, *within = name.split("::")
    tree: ast.AST = ast.parse((ROOT / path).read_text("utf-8"))
    for part in within:
        found = [n for n in ast.iter_child_nodes(tree) if getattr(n, "name", "") == part]
        assert found, f"{name}: there is no {part}"
        tree = found[0]


def test_security_page_names_tests() -> None:
    assert len(named_tests()) > 30
    claims = [row for row in rows("security.md") if len(row) == 2 and "tests/" in row[1]]
    assert len(claims) > 30
    assert all(row[0] for row in claims)
