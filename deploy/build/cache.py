"""Keep the results of slow steps by content in the user's folder `~/.cache/flow-deploy`."""

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
class CacheEntry:
    """A folder that is complete if it exists."""

    path: Path

    @contextlib.contextmanager
    def fill(self) -> Iterator[Path | None]:
        """Yield an empty folder to fill, which becomes `path` at the end; None if `path` exists.

        One process fills it while others wait. If the block raises, nothing is kept.
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


def get_entry(kind: str, key: str) -> CacheEntry:
    """Return the cache entry for `key` among the results of one `kind`."""
    return CacheEntry(get_root() / kind / key)


def get_root() -> Path:
    """Return the cache's root folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flow-deploy"
