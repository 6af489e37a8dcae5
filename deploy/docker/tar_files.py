"""Folders as tar archives: written from trusted files, and read as untrusted data.

An archive from a container holds files that the code of a flow wrote. Names are checked in this
module, also because `tarfile`'s safe filters (PEP 706) are not in every Python 3.11.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from deploy.core.errors import DeployError

# More than any set of packages has. Every file takes at least a block on disk.
MAX_FILES = 500_000
# The exceptions that an invalid or manipulated archive causes.
READ_ERRORS = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)


class StrictTarInfo(tarfile.TarInfo):
    """An entry whose size is not negative: `tarfile` loops on negative sizes.

    CVE-2025-8194, in Python before 3.11.14, 3.12.12 and 3.13.6; the advisory has this remedy.
    """

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.InvalidHeaderError("negative size")  # type: ignore[attr-defined]
        return int(super()._block(count))  # type: ignore[misc]


def pack(tree: Mapping[str, Path | bytes]) -> bytes:
    """Return a tar archive of `tree`: paths in the archive, with the file, folder or bytes of each.

    Owners and times are left out, so equal content gives equal bytes.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, source in sorted(tree.items()):
            if isinstance(source, bytes):
                archive.addfile(
                    _reset_metadata(tarfile.TarInfo(name), len(source)), io.BytesIO(source)
                )
            else:
                archive.add(source, name, filter=lambda info: _reset_metadata(info, info.size))
    return buffer.getvalue()


def unpack(archive: IO[bytes], folder: Path, operation: str) -> None:
    """Write the files of the only folder in `archive` into `folder`, without that folder's name.

    Raises `DeployError`, which begins with `operation`, for anything but plain files and folders.
    """
    for path, member, content in _iter_files(archive, operation):
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Mode "x" also rejects a name that occurs twice in the archive.
            with target.open("xb") as file:
                shutil.copyfileobj(content, file)
            # Independent of the umask: the server reads the files as another user.
            target.chmod(0o755 if member.mode & 0o100 else 0o644)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "its name is not valid"
            raise _rejected_error(
                operation, f"{_printable_name(member.name)} cannot be written: {reason}"
            ) from None


def read_file(archive: IO[bytes], name: str, operation: str) -> bytes | None:
    """Return the file `name` in the only folder of `archive`; None if it does not exist.

    Raises `DeployError` like `unpack`.
    """
    for path, _, content in _iter_files(archive, operation):
        if path == PurePosixPath(name):
            return content.read()
    return None


def _iter_files(
    archive: IO[bytes], operation: str
) -> Iterator[tuple[PurePosixPath, tarfile.TarInfo, IO[bytes]]]:
    """Yield the files with their paths relative to the only folder of the archive."""
    try:
        with tarfile.open(fileobj=archive, mode="r:", tarinfo=StrictTarInfo) as tar:
            for number, member in enumerate(tar, 1):
                if number > MAX_FILES:
                    raise _rejected_error(operation, f"it wrote more than {MAX_FILES} files")
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise _rejected_error(
                        operation,
                        f"it wrote a file outside of its folder: {_printable_name(member.name)}",
                    )
                if member.isdir():
                    continue
                # `tarfile` treats sparse files as regular; a few bytes may expand to terabytes.
                content = tar.extractfile(member) if member.type in _REGULAR_TYPES else None
                if content is None:
                    raise _rejected_error(
                        operation, f"{_printable_name(member.name)} is {_describe_type(member)}"
                    )
                yield PurePosixPath(*path.parts[1:]), member, content
    except READ_ERRORS as error:
        raise _rejected_error(operation, f"its output is not a tar archive ({error})") from None


_REGULAR_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE)


def _describe_type(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "a link"
    return "a sparse file" if member.isfile() else "a device or a pipe"


def _rejected_error(operation: str, message: str) -> DeployError:
    hint = "code of the flow may write only plain files and folders"
    return DeployError(operation, message, hint)


def _printable_name(name: str) -> str:
    """Return `name` in a form that is safe in a message: a file may have any name."""
    return ascii(name)[1:-1][:200]


def _reset_metadata(info: tarfile.TarInfo, size: int) -> tarfile.TarInfo:
    info.size = size
    info.mtime = 0
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info
