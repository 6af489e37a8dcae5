"""Read and write base.lock, a file of the repository that pins the base images by digest."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from deploy.core import atomic_file
from deploy.core.entities import ImageSettings
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path

LOCK_FILE = "base.lock"
HEADER = "# The official base images, pinned. `inv base --refresh` updates them.\n"
PIN_LINE = re.compile(r"(3\.\d+) (linux/[a-z0-9]+) ([^\s@]+@sha256:[0-9a-f]{64})")


def find_pin(root: Path, settings: ImageSettings) -> str | None:
    """Return the pinned reference for these settings, or None.

    Raises `DeployError` for a line that cannot be parsed: it must not lead to another base.
    """
    return read_pins(root).get(format_key(settings))


def format_key(settings: ImageSettings) -> str:
    """Return the beginning of the line for `settings`: Python version and platform."""
    return f"{settings.python} {settings.platform}"


def read_pins(root: Path) -> dict[str, str]:
    """Return the pinned references by Python version and platform. Raises `DeployError`."""
    path = root / LOCK_FILE
    pins: dict[str, str] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = PIN_LINE.fullmatch(" ".join(line.split()))
        location = f"{display_path(path)}:{number}"
        if match is None:
            message = "this line is not `‹Python› ‹platform› ‹image›@sha256:‹digest›`"
            raise DeployError(location, message, "correct it, or remove it and run `inv base`")
        name = f"{match[1]} {match[2]}"
        if name in pins:
            message = f"there is another line for {name}"
            raise DeployError(location, message, "keep one of the two")
        pins[name] = match[3]
    return pins


# Flows are built in parallel.
_write_mutex = threading.Lock()


def write_pin(root: Path, settings: ImageSettings, reference: str) -> None:
    """Pin `reference`, which must have a digest, for these settings; keep all other lines."""
    if not PIN_LINE.fullmatch(f"{format_key(settings)} {reference}"):
        message = f"{reference} has no digest, so it cannot be pinned"
        raise DeployError(LOCK_FILE, message, "pull it from a registry")
    with _write_mutex:
        pins = {**read_pins(root), format_key(settings): reference}
        text = HEADER + "".join(f"{name} {pinned}\n" for name, pinned in sorted(pins.items()))
        atomic_file.write(root / LOCK_FILE, text)
