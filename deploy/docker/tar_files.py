"""Folders as tar archives: packed here, and unpacked as data of others.

What comes back from a container holds what code of a flow wrote. So names are checked by hand, also
because the safe ways of `tarfile` (PEP 706) are not in every Python 3.11.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from deploy.errors import DeployError

# More than any set of packages has; each takes a block on disk, however small it is.
MOST_FILES = 500_000
# What reading an archive raises that is none, or that was changed.
BROKEN = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)


class StrictTarInfo(tarfile.TarInfo):
    """An entry whose size is not negative, with which `tarfile` would go in circles.

    CVE-2025-8194, in Python before 3.11.14, 3.12.12 and 3.13.6; the advisory has this remedy.
    """

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.InvalidHeaderError("negative size")  # type: ignore[attr-defined]
        return int(super()._block(count))  # type: ignore[misc]


def pack(tree: Mapping[str, Path | bytes]) -> bytes:
    """Return a tar archive of `tree`: paths in it, and the file, folder or bytes behind each.

    Owners and times are left out, so equal content gives equal bytes.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, source in sorted(tree.items()):
            if isinstance(source, bytes):
                archive.addfile(_plain(tarfile.TarInfo(name), len(source)), io.BytesIO(source))
            else:
                archive.add(source, name, filter=lambda info: _plain(info, info.size))
    return buffer.getvalue()


def unpack(archive: IO[bytes], folder: Path, doing: str) -> None:
    """Write the files of the one folder in `archive` into `folder`, without that folder's name.

    Raises `DeployError`, which begins with `doing`, for anything but plain files and folders.
    """
    for path, member, content in _files(archive, doing):
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # A name that the archive has twice is refused, too.
            with target.open("xb") as file:
                shutil.copyfileobj(content, file)
            # Whatever the umask: the server is another user, and reads them.
            target.chmod(0o755 if member.mode & 0o100 else 0o644)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "its name is not valid"
            raise _refused(doing, f"{_shown(member.name)} cannot be written: {reason}") from None


def read(archive: IO[bytes], name: str, doing: str) -> bytes | None:
    """Return the file `name` in the one folder of `archive`; None if it is not there.

    Raises `DeployError` like `unpack`.
    """
    for path, _, content in _files(archive, doing):
        if path == PurePosixPath(name):
            return content.read()
    return None


def _files(
    archive: IO[bytes], doing: str
) -> Iterator[tuple[PurePosixPath, tarfile.TarInfo, IO[bytes]]]:
    """Yield the files with their paths below the one folder of the archive."""
    try:
        with tarfile.open(fileobj=archive, mode="r:", tarinfo=StrictTarInfo) as tar:
            for number, member in enumerate(tar, 1):
                if number > MOST_FILES:
                    raise _refused(doing, f"it left more than {MOST_FILES} files")
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise _refused(
                        doing, f"it left a file outside of its folder: {_shown(member.name)}"
                    )
                if member.isdir():
                    continue
                # Sparse files are regular for `tarfile`, and a few bytes may say terabytes.
                content = tar.extractfile(member) if member.type in _PLAIN else None
                if content is None:
                    raise _refused(doing, f"{_shown(member.name)} is {_kind(member)}")
                yield PurePosixPath(*path.parts[1:]), member, content
    except BROKEN as error:
        raise _refused(doing, f"what it left is no tar archive ({error})") from None


_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


def _kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "a link"
    return "a sparse file" if member.isfile() else "a device or a pipe"


def _refused(doing: str, what: str) -> DeployError:
    hint = "code of the flow may leave plain files and folders only"
    return DeployError(doing, what, hint)


def _shown(name: str) -> str:
    """Return `name` fit for a message: a file may have any name."""
    return ascii(name)[1:-1][:200]


def _plain(info: tarfile.TarInfo, size: int) -> tarfile.TarInfo:
    info.size = size
    info.mtime = 0
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info
