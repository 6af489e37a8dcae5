"""Digests of images that this machine verified (it pushed them, or compared them), or scanned.

Records are below the user's cache folder, and only the user can read or write them.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path

from deploy.build import cache
from deploy.model import Image

VERIFIED, SCANNED = "verified", "scanned"
# What only the owner may do with a record or its folder.
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def add(kind: str, flow: str, image: Image) -> None:
    """Record that `image`, which is in a registry, was verified or scanned."""
    folder = _path(kind, flow, image).parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    # `mkstemp` makes files with mode 0600. Renamed, since two processes may record the same image.
    descriptor, draft = tempfile.mkstemp(dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(_facts(flow, image), file)
    Path(draft).replace(_path(kind, flow, image))


def has(kind: str, flow: str, image: Image) -> bool:
    """Return whether that was recorded of `image`. What others may write does not count."""
    path = _path(kind, flow, image)
    try:
        if not (_is_own(path.parent) and _is_own(path)):
            return False
        return bool(json.loads(path.read_text(encoding="utf-8")) == _facts(flow, image))
    except (OSError, ValueError):
        return False


def _facts(flow: str, image: Image) -> dict[str, str | None]:
    # With the platform: of an index only the image of that one was compared.
    return {
        "flow": flow,
        "tag": image.tag,
        "platform": image.platform,
        "digest": image.digest,
        "configuration": image.id,
    }


def _path(kind: str, flow: str, image: Image) -> Path:
    key = hashlib.sha256(json.dumps(_facts(flow, image)).encode()).hexdigest()
    return cache.root() / kind / f"{key}.json"


def _is_own(path: Path) -> bool:
    found = path.lstat()
    is_link = stat.S_ISLNK(found.st_mode)
    return not is_link and found.st_uid == os.geteuid() and not found.st_mode & WRITABLE_BY_OTHERS
