"""Folders that take long to make, kept on this machine: made once, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def root() -> Path:
    """Return the folder of all caches, which clones of the repository share."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "flow-deploy-tests"


def ensure(name: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """Return the folder that `make` fills, made only where no finished one of this `recipe` exists.

    Other processes wait meanwhile, so parallel workers of pytest make it once.
    """
    parent = root() / name
    finished = parent / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    if finished.exists():
        return finished
    parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{finished}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if finished.exists():
            return finished
        begun = Path(tempfile.mkdtemp(dir=parent, prefix="begun-"))
        try:
            make(begun)
            begun.chmod(0o755)
            begun.rename(finished)
        except BaseException:
            shutil.rmtree(begun, ignore_errors=True)
            raise
    return finished


def sources(*modules: Path) -> str:
    """Return the text of the files that a recipe consists of."""
    return "\n".join(module.read_text("utf-8") for module in modules)
