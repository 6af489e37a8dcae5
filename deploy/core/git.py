"""The git repository of the flows: run git, and read the commit and the remote."""

from __future__ import annotations

import subprocess
from pathlib import Path


def run(root: Path, *arguments: str) -> str | None:
    """Return the output of git in the folder `root`; None if it fails or is not installed."""
    try:
        completed = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return completed.stdout if completed.returncode == 0 else None


def read_commit(root: Path) -> str:
    """Return the commit that is checked out, with `-dirty` if the working tree differs from it.

    Return an empty string outside of a git repository.
    """
    head = (run(root, "rev-parse", "HEAD") or "").strip()
    # Untracked files count, too: the flow may be one of them.
    return f"{head}-dirty" if head and (run(root, "status", "--porcelain") or "").strip() else head


def read_remote_url(root: Path) -> str:
    """Return the URL of the git remote without any credentials."""
    address = (run(root, "config", "--get", "remote.origin.url") or "").strip()
    scheme, separator, rest = address.partition("://")
    if not separator:
        # A local path must not be published; `git@host:owner/name` is an address.
        return address if "@" in address else ""
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme != "file" else ""
