"""Write a file in one step."""

from __future__ import annotations

import tempfile
from pathlib import Path


def write(path: Path, text: str, mode: int = 0o644, errors: str = "strict") -> None:
    """Replace the file at `path` by one with `text`.

    After an interruption the old file is still complete, and parallel writers do not mix.
    """
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}-", delete=False, encoding="utf-8", errors=errors
    ) as file:
        file.write(text)
    draft = Path(file.name)
    draft.chmod(mode)
    draft.replace(path)
