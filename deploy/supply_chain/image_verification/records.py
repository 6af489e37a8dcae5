"""Record the digests of images that this machine verified (pushed or compared), or scanned.

Records are below the user's cache folder, and only the user can read or write them.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

from deploy.build import cache
from deploy.core import atomic_file
from deploy.core.entities import Image

VERIFIED, SCANNED = "verified", "scanned"
# Permissions that no other user may have for a record or its folder.
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def add(kind: str, flow: str, image: Image) -> None:
    """Record that `image`, which is in a registry, was verified or scanned."""
    path = _get_record_path(kind, flow, image)
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    atomic_file.write(path, json.dumps(_create_record(flow, image)), mode=0o600)


def has(kind: str, flow: str, image: Image) -> bool:
    """Return whether `image` has a record of this kind.

    Records that other users can write do not count.
    """
    path = _get_record_path(kind, flow, image)
    try:
        if not (_is_private(path.parent) and _is_private(path)):
            return False
        return bool(json.loads(path.read_text(encoding="utf-8")) == _create_record(flow, image))
    except (OSError, ValueError):
        return False


def _create_record(flow: str, image: Image) -> dict[str, str | None]:
    # Including the platform: of an index only the image for that platform was compared.
    return {
        "flow": flow,
        "tag": image.tag,
        "platform": image.platform,
        "digest": image.digest,
        "configuration": image.id,
    }


def _get_record_path(kind: str, flow: str, image: Image) -> Path:
    key = hashlib.sha256(json.dumps(_create_record(flow, image)).encode()).hexdigest()
    return cache.get_root() / kind / f"{key}.json"


def _is_private(path: Path) -> bool:
    file_stat = path.lstat()
    is_link = stat.S_ISLNK(file_stat.st_mode)
    return (
        not is_link
        and file_stat.st_uid == os.geteuid()
        and not file_stat.st_mode & WRITABLE_BY_OTHERS
    )
