"""A problem as a CI system shows it: how grave it is, and beside which line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
Level = Literal["error", "warning"]
# `flows/faq/deploy.yaml:12: sample`, as `Problem.where` says it.
_PLACE = re.compile(r"(?P<file>[^:]+)(?::(?P<line>\d+))?(?::|$)")


@dataclass(frozen=True)
class Place:
    """A file, relative to the checkout's root, and the line in it, where there is one."""

    file: str
    line: int | None


def place(where: str, checkout: str | None) -> Place | None:
    """Return the file that `where` begins with; None where that is no file of this repository.

    `checkout` is the root of the system's checkout, which this repository may be a folder of.
    """
    found = _PLACE.match(where)
    if not found or not _is_file(ROOT / found["file"]):
        return None
    # Resolved: a runner's folder may be behind a link.
    path, root = (ROOT / found["file"]).resolve(), Path(checkout or ROOT).resolve()
    if not path.is_relative_to(ROOT.resolve()):
        return None
    file = path.relative_to(root) if path.is_relative_to(root) else Path(found["file"])
    return Place(file.as_posix(), int(found["line"]) if found["line"] else None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # What is no path at all: it is too long.
        return False
