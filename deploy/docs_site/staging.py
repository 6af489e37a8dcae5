"""Stage the site's pages from docs/ and from a few files elsewhere in the repository.

Pages link to files of the repository by relative paths, which work on GitHub. The site has only
pages: a link to another page is kept, and a link to any other file leads to the repository if its
address is known (`repo_url` in docs/zensical.toml), or becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath

from deploy.docs_site import markdown

DOCS = "docs"
SETTINGS = "zensical.toml"
# Pages outside of docs/, and the folder of the site that they are staged in.
EXTRA_PAGES = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "examples/kind-function/README.md",
    "examples/target-containerapps/README.md",
    "deploy/sandbox/README.md",
)
REPOSITORY_FOLDER = "repository"
# The site's first page takes the place of README.md.
ALIASES = {"README.md": "index.md"}


def list_pages(root: Path) -> dict[str, str]:
    """Return each file's path in the site by its path from the root of the repository."""
    folder = root / DOCS
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    # Files and folders whose names start with a dot are no content.
    visible = [path.as_posix() for path in files if not any(part[0] == "." for part in path.parts)]
    pages = {f"{DOCS}/{name}": name for name in visible}
    pages.pop(f"{DOCS}/{SETTINGS}", None)
    return pages | {
        name: f"{REPOSITORY_FOLDER}/{name}" for name in EXTRA_PAGES if (root / name).is_file()
    }


def stage_pages(root: Path, folder: Path, repository: str = "") -> None:
    """Write the site's pages into `folder`; remove files that are no pages any more.

    Unchanged pages are not written, so that a preview reloads only what changed.
    """
    pages = list_pages(root)
    for source, page in pages.items():
        content = (root / source).read_bytes()
        if page.endswith(".md"):
            content = _adapt_links(root, source, pages, repository).encode()
        path = folder / page
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    page_paths = {folder / page for page in pages.values()}
    for path in [path for path in folder.rglob("*") if path.is_file() and path not in page_paths]:
        path.unlink()


def _adapt_links(root: Path, source: str, pages: dict[str, str], repository: str) -> str:
    """Return a page with its links adapted to the site."""
    page_folder = PurePosixPath(pages[source]).parent.as_posix()

    def change(link: str, target: str) -> str:
        if re.match(r"[a-z]+:|#|/", target):
            return link
        path, separator, anchor = target.partition("#")
        target_file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        page = (
            pages.get(target_file)
            or pages.get(f"{target_file}/README.md")
            or ALIASES.get(target_file)
        )
        head = link[: -len(target) - 1]
        if page:
            return f"{head}{posixpath.relpath(page, page_folder)}{separator}{anchor})"
        if not (root / target_file).exists():
            # A dead link: the site's generator reports it with its place.
            return link
        if repository:
            return f"{head}{format_url(repository, target_file)})"
        return head[1 : -len("](")]

    return markdown.replace_links((root / source).read_text("utf-8"), change)


def format_url(repository: str, path: str) -> str:
    """Return the URL of a file or folder in the repository's default branch.

    GitHub and GitLab use one form, Azure Repos another ("View and download files").
    """
    if "/_git/" in repository:
        return f"{repository}?path=/{path}"
    return f"{repository.rstrip('/')}/blob/HEAD/{path}"
