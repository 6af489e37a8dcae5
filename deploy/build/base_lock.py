"""base.lock: the official base images, pinned by digest; a file of the repository."""

from __future__ import annotations

import re
import tempfile
import threading
from pathlib import Path

from deploy.documents import show
from deploy.errors import DeployError
from deploy.model import ImageSettings

LOCK = "base.lock"
HEADER = "# The official base images, pinned. `inv base --refresh` moves them on.\n"
LINE = re.compile(r"(3\.\d+) (linux/[a-z0-9]+) ([^\s@]+@sha256:[0-9a-f]{64})")


def pin(root: Path, settings: ImageSettings) -> str | None:
    """Return the pinned reference for these settings, or None.

    Raises `DeployError` for a line that cannot be read: another base must not take its place.
    """
    return read(root).get(key(settings))


def key(settings: ImageSettings) -> str:
    """Return what a line of the file begins with."""
    return f"{settings.python} {settings.platform}"


def read(root: Path) -> dict[str, str]:
    """Return the pinned references by Python and platform. Raises `DeployError`."""
    path = root / LOCK
    pins: dict[str, str] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.fullmatch(" ".join(line.split()))
        where = f"{show(path)}:{number}"
        if found is None:
            what = "this line is not `‹Python› ‹platform› ‹image›@sha256:‹digest›`"
            raise DeployError(where, what, "correct it, or remove it and run `inv base`")
        name = f"{found[1]} {found[2]}"
        if name in pins:
            what = f"there is another line for {name}"
            raise DeployError(where, what, "keep one of the two")
        pins[name] = found[3]
    return pins


# Flows are built side by side.
_writing = threading.Lock()


def write(root: Path, settings: ImageSettings, reference: str) -> None:
    """Pin `reference`, which has a digest, for these settings; other lines stay."""
    if not LINE.fullmatch(f"{key(settings)} {reference}"):
        what = f"{reference} has no digest, so it cannot be pinned"
        raise DeployError(LOCK, what, "pull it from a registry")
    with _writing:
        pins = {**read(root), key(settings): reference}
        text = HEADER + "".join(f"{name} {pinned}\n" for name, pinned in sorted(pins.items()))
        _replace(root / LOCK, text)


def _replace(path: Path, text: str) -> None:
    """Write a file in one step: an interruption leaves the file before."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{LOCK}-", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
