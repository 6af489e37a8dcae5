"""The folder that `docker build` makes an image of: written whole, measured, shown."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy import console
from deploy.documents import show
from deploy.errors import DeployError
from deploy.model import Flow

# A larger file of a flow is named, in bytes: data sets and models get in by accident.
LARGE_FILE = 50_000_000
# How many files of a folder a listing names.
LISTED = 12


@contextlib.contextmanager
def writing(target: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `target` at the end.

    Where the block raises, `target` stays as it was. Raises `DeployError` for a `target` that holds
    something else than a context.
    """
    if target.exists() and not (target / "Dockerfile").is_file() and any(target.iterdir()):
        what = "this folder holds something else than the context of an image"
        raise DeployError(show(target), what, "name a folder that is new or empty")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield draft
        _open_folders(draft)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            target.rename(old)
            shutil.rmtree(old)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write(path: Path, text: str) -> None:
    """Write a file of the context."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)


def link(source: Path, target: Path) -> None:
    """Put the files of the folder `source` at `target` without copying them, where that works."""
    for folder, _, names in os.walk(source):
        place = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(place, exist_ok=True)
        for name in names:
            _link(os.path.join(folder, name), os.path.join(place, name))


def check_size(folder: Path, flow: Flow) -> None:
    """Name large files of the flow. Raises `DeployError` above `image.max_size`."""
    for path, size in _sizes(folder / "app").items():
        if size > LARGE_FILE:
            console.note("build", f"{path} takes {readable(size)} of the image")
    limit = flow.image.max_size
    if limit is None:
        return
    sizes = _sizes(folder)
    total = sum(sizes.values())
    if total > limit:
        largest = max(sizes, key=lambda path: sizes[path])
        raise DeployError(
            f"{show(flow.folder / 'deploy.yaml')}: image.max_size",
            f"it is {readable(limit)}, and the image adds {readable(total)} to its base",
            f"the largest file is {largest}, {readable(sizes[largest])}",
        )


def describe(folder: Path) -> str:
    """Return the Dockerfile and the tree with sizes, for people."""
    lines = [(folder / "Dockerfile").read_text(encoding="utf-8")]
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        lines.append(_row(part, folder))
        children = sorted(part.iterdir(), key=lambda path: -_size(path))
        lines += [_row(child, folder) for child in children[:LISTED]]
        if len(children) > LISTED:
            rest = sum(_size(child) for child in children[LISTED:])
            more = f"  … {len(children) - LISTED} more"
            lines.append(f"{readable(rest):>10}  {more}")
    return "\n".join(lines)


def readable(size: int) -> str:
    """Return `size`, in bytes, for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _row(path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")
    indent = "  " if path.parent != folder else ""
    return f"{readable(_size(path)):>10}  {indent}{name}"


def _size(path: Path) -> int:
    return sum(_sizes(path).values()) if path.is_dir() else path.stat().st_size


def _sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of every file below `folder`, by its path there."""
    # Of thousands of files: several times as fast as with `Path`.
    return {
        os.path.relpath(os.path.join(parent, name), folder): os.stat(
            os.path.join(parent, name)
        ).st_size
        for parent, _, names in os.walk(folder)
        for name in names
    }


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links.
        shutil.copy2(source, target)


def _open_folders(folder: Path) -> None:
    """Let every user read the folders, whatever the umask: images keep their modes."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o755)
