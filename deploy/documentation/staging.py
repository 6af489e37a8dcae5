"""The site's pages, made of docs/ and of a few files that GitHub shows where they are.

Pages link to files of the repository by relative paths, which is what people follow on GitHub. On
the site there are only pages: a link to another page stays one, and one to any other file leads to
the repository, where its address is known (`repo_url` in docs/zensical.toml), or is plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath

from deploy.documentation import markdown

DOCS = "docs"
SETTINGS = "zensical.toml"
# Pages that are not in docs/, and the folder of the site in which they are.
BROUGHT = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "examples/kind-function/README.md",
    "examples/target-containerapps/README.md",
    "tests/emulator/README.md",
)
REPOSITORY = "repository"
# README.md says on GitHub what the site's first page says.
ALIASES = {"README.md": "index.md"}


def pages(root: Path) -> dict[str, str]:
    """Return where in the site each file goes, both as paths from the top."""
    folder = root / DOCS
    inside = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    # As everywhere, a name that starts with a dot is nobody's content.
    shown = [path.as_posix() for path in inside if not any(part[0] == "." for part in path.parts)]
    found = {f"{DOCS}/{name}": name for name in shown}
    found.pop(f"{DOCS}/{SETTINGS}", None)
    return found | {name: f"{REPOSITORY}/{name}" for name in BROUGHT if (root / name).is_file()}


def stage(root: Path, folder: Path, repository: str = "") -> None:
    """Write the site's pages into `folder`, and remove what is no page any longer.

    What has not changed is not written, so that a preview shows only what has.
    """
    every = pages(root)
    for source, page in every.items():
        content = (root / source).read_bytes()
        if page.endswith(".md"):
            content = _adapted(root, source, every, repository).encode()
        path = folder / page
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    kept = {folder / page for page in every.values()}
    for path in [path for path in folder.rglob("*") if path.is_file() and path not in kept]:
        path.unlink()


def _adapted(root: Path, source: str, every: dict[str, str], repository: str) -> str:
    """Return a page with its links as the site needs them."""
    here = PurePosixPath(every[source]).parent.as_posix()

    def change(link: str, target: str) -> str:
        if re.match(r"[a-z]+:|#|/", target):
            return link
        path, mark, anchor = target.partition("#")
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        page = every.get(wanted) or every.get(f"{wanted}/README.md") or ALIASES.get(wanted)
        head = link[: -len(target) - 1]
        if page:
            return f"{head}{posixpath.relpath(page, here)}{mark}{anchor})"
        if not (root / wanted).exists():
            # The site's generator says where.
            return link
        if repository:
            return f"{head}{address(repository, wanted)})"
        return head[1 : -len("](")]

    return markdown.relink((root / source).read_text("utf-8"), change)


def address(repository: str, path: str) -> str:
    """Return the address of a file or folder of the repository, on its first branch.

    GitHub and GitLab have one form; Azure Repos another ("View and download files").
    """
    if "/_git/" in repository:
        return f"{repository}?path=/{path}"
    return f"{repository.rstrip('/')}/blob/HEAD/{path}"
