"""Links of the pages lead somewhere, on GitHub and on the site; the navigation has every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.docs_site import staging
from tests import markdown_pages
from tests.documented import ROOT

PAGES = sorted({"README.md", *(name for name in staging.list_pages(ROOT) if name.endswith(".md"))})
SETTINGS = ROOT / staging.DOCS / staging.SETTINGS


def dead(path: Path, root: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    found = []
    for link in markdown_pages.find_links(path.read_text("utf-8")):
        if re.match(r"[a-z]+:", link.text):
            continue
        name, _, anchor = link.text.partition("#")
        target = (path.parent / name).resolve() if name else path
        where = f"{path.relative_to(root).as_posix()}:{link.line}: {link.text}"
        if not target.exists() or not target.is_relative_to(root):
            found.append(f"{where}: there is no such file")
        elif anchor and anchor not in markdown_pages.list_anchors(target.read_text("utf-8")):
            found.append(f"{where}: it has no such heading")
    return found


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    assert dead(ROOT / name, ROOT) == []


def test_the_navigation_has_exactly_the_pages() -> None:
    listed = re.findall(r'= "([\w/.-]+\.md)"', SETTINGS.read_text("utf-8"))
    there = [page for page in staging.list_pages(ROOT).values() if page.endswith(".md")]
    # A team's own decision records need no entry (`inv advise --adr`).
    expected = [page for page in there if page in listed or not page.startswith("adr/")]
    assert sorted(listed) == sorted(expected), f"see nav in {SETTINGS.name}"


def test_a_dead_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page: `of` [links](#none)\n\n[one](none.md) `[two](none.md)` [three](#a-page-of-links)\n"
        "[four](#none) ![five](../picture.svg) [six](https://example.com/none)\n"
        "```text\n[seven](none.md)\n```\n[eight `of` it](page.md#four)\n",
        "utf-8",
    )
    assert dead(page, tmp_path) == [
        "page.md:1: #none: it has no such heading",
        "page.md:3: none.md: there is no such file",
        "page.md:4: #none: it has no such heading",
        "page.md:4: ../picture.svg: there is no such file",
        "page.md:8: page.md#four: it has no such heading",
    ]


def test_anchors_are_those_of_github() -> None:
    page = "# Who may do what\n## inv infra.plan\n## `a_b`: c & d\n## One\n```sh\n# none\n```\n## One\n"
    assert markdown_pages.list_anchors(page) == {
        "who-may-do-what",
        "inv-infraplan",
        "a_b-c--d",
        "one",
        "one-1",
    }
