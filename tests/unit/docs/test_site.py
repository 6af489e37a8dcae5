"""The pages of the site, and a build that checks every link once more."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import tasks
from deploy.core.errors import DeployError
from deploy.docs_site import site, staging, task_reference
from tests import installed_extensions, projects
from tests.documented import ROOT
from tests.unit.cli.test_tasks import inv

NEW_ENOUGH = pytest.mark.skipif(sys.version_info < site.MIN_PYTHON, reason="Zensical needs it")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of what documentation is made of."""
    return projects.copy_repository(tmp_path / "copy")


def small(root: Path, **pages: str) -> Path:
    """Make a repository with these pages in docs/, and with README.md and code.py."""
    for name, text in {"docs/index": "# Home\n", **pages}.items():
        path = root / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (root / "README.md").write_text("# Here\n", "utf-8")
    (root / "code.py").write_text("", "utf-8")
    (root / "docs/zensical.toml").write_text('[project]\nsite_name = "a"\n', "utf-8")
    return root


@NEW_ENOUGH
def test_the_site_is_built_and_needs_nothing_from_elsewhere(root: Path) -> None:
    done = inv("docs", cwd=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{root}/.build/site\n"
    assert re.fullmatch(r"docs      pages and their links  \d+ pages  \d+\.\d s\n", done.stderr)
    built = root / ".build/site"
    for page in staging.list_pages(ROOT).values():
        assert (built / page.replace("README.md", "index.md").replace(".md", ".html")).is_file()
    for path in built.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="?(https?:[^ ">]+)', path.read_text("utf-8")
        )
        assert loaded == [], path
        # Nothing that GitHub would show differently: fractions, ordinals.
        assert not re.search(r"&frac|&#85\d\d;|<sup>", path.read_text("utf-8")), path


@NEW_ENOUGH
def test_a_dead_anchor_is_a_readable_error(tmp_path: Path) -> None:
    root = small(tmp_path, **{"docs/one": "# One\n\n[there](index.md#nowhere)\n"})
    with pytest.raises(DeployError) as caught:
        site.build(root)
    text = str(caught.value)
    assert text.startswith("docs: the site cannot be built:\nWarning: anchor does not exist\n")
    assert "one.md:3:18" in text
    assert text.endswith("1 issue found\n  → correct the pages in docs/")


def test_an_older_python_is_a_readable_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "MIN_PYTHON", (4, 0))
    with pytest.raises(DeployError) as caught:
        site.build(small(tmp_path))
    here = ".".join(map(str, sys.version_info[:2]))
    assert str(caught.value) == (
        f"docs: the site's generator needs Python 4.0 or newer, and this is {here}\n"
        "  → read the pages in docs/ as they are"
    )


def test_links_to_files_that_are_no_pages(tmp_path: Path) -> None:
    text = (
        "[the code](../code.py) and [home](index.md#home), `[as](../code.py)`, "
        "[readme](../README.md), [out](https://example.com), [none](none.md)\n"
        "```text\n[block](../code.py)\n```\n"
    )
    root, staged = small(tmp_path / "root", **{"docs/one": text}), tmp_path / "staged"
    staging.stage_pages(root, staged)
    assert (staged / "one.md").read_text("utf-8") == (
        "the code and [home](index.md#home), `[as](../code.py)`, "
        "[readme](index.md), [out](https://example.com), [none](none.md)\n"
        "```text\n[block](../code.py)\n```\n"
    )
    staging.stage_pages(root, staged, "https://github.com/contoso/flows")
    assert "[the code](https://github.com/contoso/flows/blob/HEAD/code.py)" in (
        staged / "one.md"
    ).read_text("utf-8")
    azure = "https://dev.azure.com/contoso/flows/_git/flows"
    assert staging.format_url(azure, "code.py") == f"{azure}?path=/code.py"


def test_pages_from_elsewhere_link_to_pages(tmp_path: Path) -> None:
    root = small(tmp_path / "root", **{"docs/a/one": "[changes](../../CHANGELOG.md#now)\n"})
    (root / "CHANGELOG.md").write_text("[one](docs/a/one.md)\n", "utf-8")
    staging.stage_pages(root, tmp_path / "staged")
    read = {
        name: (tmp_path / "staged" / name).read_text("utf-8")
        for name in ("a/one.md", "repository/CHANGELOG.md")
    }
    assert read == {
        "a/one.md": "[changes](../repository/CHANGELOG.md#now)\n",
        "repository/CHANGELOG.md": "[one](../a/one.md)\n",
    }


def test_obsolete_pages_are_removed_and_unchanged_ones_kept(tmp_path: Path) -> None:
    root, staged = small(tmp_path / "root", **{"docs/one": "# One\n"}), tmp_path / "staged"
    staging.stage_pages(root, staged)
    before = (staged / "index.md").stat().st_mtime_ns
    (root / "docs/one.md").unlink()
    staging.stage_pages(root, staged)
    assert [path.name for path in staged.iterdir()] == ["index.md"]
    assert (staged / "index.md").stat().st_mtime_ns == before


@NEW_ENOUGH
def test_a_script_for_diagrams_comes_with_the_site(tmp_path: Path) -> None:
    root, script = small(tmp_path / "root"), tmp_path / "mermaid.js"
    script.write_text("var mermaid;", "utf-8")
    built = site.build(root, script)
    assert (built / "mermaid.min.js").read_text("utf-8") == "var mermaid;"
    assert 'src="./mermaid.min.js"' in (built / "index.html").read_text("utf-8")


def test_the_task_page_matches_the_tasks() -> None:
    written = (ROOT / task_reference.PAGE).read_text("utf-8")
    assert written == task_reference.format_page(tasks.namespace), "run `inv docs --write`"


def test_generated_files_are_written(root: Path) -> None:
    kept = {
        name: (root / name).read_text("utf-8")
        for name in (task_reference.PAGE, "docs/schema/deploy.json")
    }
    for name in kept:
        (root / name).unlink()
    assert inv("docs", "--write", cwd=root).stdout == f"{root}/{task_reference.PAGE}\n"
    assert f"{root}/docs/schema/deploy.json\n" in inv("schema", cwd=root).stdout
    if installed_extensions.INSTALLED:
        # Their settings are in the schema, too.
        kept.pop("docs/schema/deploy.json")
    assert {name: (root / name).read_text("utf-8") for name in kept} == kept
