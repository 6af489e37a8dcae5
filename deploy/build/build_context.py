"""Write, measure and describe the folder from which `docker build` makes an image."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.core import progress
from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path

# Files of a flow above this size, in bytes, are reported: data sets and models get in by accident.
LARGE_FILE = 50_000_000
# Number of files of a folder that a listing shows.
MAX_LISTED = 12


@contextlib.contextmanager
def create(target: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `target` at the end.

    If the block raises, `target` stays unchanged. Raises `DeployError` if `target` holds something
    other than a context.
    """
    if target.exists() and not (target / "Dockerfile").is_file() and any(target.iterdir()):
        message = "this folder contains something other than the context of an image"
        raise DeployError(display_path(target), message, "choose a new or empty folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield draft
        _make_folders_readable(draft)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            target.rename(old)
            shutil.rmtree(old)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_file(path: Path, text: str) -> None:
    """Write a file of the context, readable for every user."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)


def link_files(source: Path, target: Path) -> None:
    """Hard-link the files of the folder `source` at `target`; copy those that cannot be linked."""
    for folder, _, names in os.walk(source):
        target_folder = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(target_folder, exist_ok=True)
        for name in names:
            _link_file(os.path.join(folder, name), os.path.join(target_folder, name))


def check_size(folder: Path, flow: Flow) -> None:
    """Report large files of the flow. Raise `DeployError` above `image.max_size`."""
    for path, size in _measure_files(folder / "app").items():
        if size > LARGE_FILE:
            progress.note("build", f"{path} takes {format_size(size)} of the image")
    limit = flow.image.max_size
    if limit is None:
        return
    sizes = _measure_files(folder)
    total = sum(sizes.values())
    if total > limit:
        largest = max(sizes, key=lambda path: sizes[path])
        raise DeployError(
            f"{display_path(flow.folder / 'deploy.yaml')}: image.max_size",
            f"it is {format_size(limit)}, and the image adds {format_size(total)} to its base",
            f"the largest file is {largest}, {format_size(sizes[largest])}",
        )


def describe(folder: Path) -> str:
    """Return the Dockerfile and the tree with sizes as text for users."""
    lines = [(folder / "Dockerfile").read_text(encoding="utf-8")]
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        lines.append(_format_row(part, folder))
        children = sorted(part.iterdir(), key=lambda path: -_measure_folder(path))
        lines += [_format_row(child, folder) for child in children[:MAX_LISTED]]
        if len(children) > MAX_LISTED:
            rest = sum(_measure_folder(child) for child in children[MAX_LISTED:])
            more = f"  … {len(children) - MAX_LISTED} more"
            lines.append(f"{format_size(rest):>10}  {more}")
    return "\n".join(lines)


def format_size(size: int) -> str:
    """Return `size`, in bytes, with a readable unit."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _format_row(path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")
    indent = "  " if path.parent != folder else ""
    return f"{format_size(_measure_folder(path)):>10}  {indent}{name}"


def _measure_folder(path: Path) -> int:
    return sum(_measure_files(path).values()) if path.is_dir() else path.stat().st_size


def _measure_files(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every file below `folder`, by its path there."""
    # With thousands of files, this is several times as fast as `Path`.
    return {
        os.path.relpath(os.path.join(parent, name), folder): os.stat(
            os.path.join(parent, name)
        ).st_size
        for parent, _, names in os.walk(folder)
        for name in names
    }


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without hard links.
        shutil.copy2(source, target)


def _make_folders_readable(folder: Path) -> None:
    """Let every user read the folders, whatever the umask: images keep their modes."""
    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o755)
