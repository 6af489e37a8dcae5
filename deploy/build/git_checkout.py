"""Read the commit and the remote of the git repository that flows are built from."""

from __future__ import annotations

import subprocess
from pathlib import Path


def read_commit(root: Path) -> str:
    """Return the commit that is checked out, with `-dirty` if the working tree differs from it.

    Return an empty string outside of a git repository.
    """
    head = _run_git(root, "rev-parse", "HEAD")
    # Untracked files count, too: the flow may be one of them.
    return f"{head}-dirty" if head and _run_git(root, "status", "--porcelain") else head


def read_remote_url(root: Path) -> str:
    """Return the URL of the git remote without any credentials."""
    address = _run_git(root, "config", "--get", "remote.origin.url")
    scheme, separator, rest = address.partition("://")
    if not separator:
        # A local path must not be published; `git@host:owner/name` is an address.
        return address if "@" in address else ""
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme != "file" else ""


def _run_git(root: Path, *arguments: str) -> str:
    """Return the output of git; empty if git or the repository is missing."""
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
