"""Find the file and line that a problem is about, for annotations of a CI system."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
# The format of `Problem.where`: `flows/faq/deploy.yaml:12: sample`.
_LOCATION = re.compile(r"(?P<file>[^:]+)(?::(?P<line>\d+))?(?::|$)")


@dataclass(frozen=True)
class SourceLocation:
    """A place in a file of this repository."""

    # Relative to the root of the CI system's checkout.
    file: str
    line: int | None


def find_location(where: str, checkout: str | None) -> SourceLocation | None:
    """Return the file that `where` begins with; None if it is no file of this repository.

    `checkout` is the root of the CI system's checkout; this repository may be a folder in it.
    """
    match = _LOCATION.match(where)
    if not match or not _is_file(ROOT / match["file"]):
        return None
    # Resolved, as a runner's folder may be a symbolic link.
    path, root = (ROOT / match["file"]).resolve(), Path(checkout or ROOT).resolve()
    if not path.is_relative_to(ROOT.resolve()):
        return None
    file = path.relative_to(root) if path.is_relative_to(root) else Path(match["file"])
    return SourceLocation(file.as_posix(), int(match["line"]) if match["line"] else None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # The text is no valid path, for example because it is too long.
        return False
