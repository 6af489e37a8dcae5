"""Results of slow steps, kept by content in a folder of the user: `~/.cache/flow-deploy`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kept:
    """A folder that is complete once it exists."""

    path: Path

    @contextlib.contextmanager
    def filling(self) -> Iterator[Path | None]:
        """Yield an empty folder to fill, which becomes `path` at the end; None if `path` exists.

        One process fills it while others wait. Nothing is kept where the block raises.
        """
        if self.path.is_dir():
            yield None
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.path.is_dir():
                yield None
                return
            draft = Path(tempfile.mkdtemp(prefix=f"{self.path.name}.", dir=self.path.parent))
            try:
                yield draft
                draft.chmod(0o755)
                draft.rename(self.path)
            finally:
                shutil.rmtree(draft, ignore_errors=True)


def folder(kind: str, key: str) -> Kept:
    """Return the folder for what is known as `key` among results of one `kind`."""
    return Kept(root() / kind / key)


def root() -> Path:
    """Return the folder of all results."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flow-deploy"
