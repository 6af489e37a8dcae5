"""Limits on the output and files of a program in an isolated container: its code is untrusted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

MIB = 2**20
# The first is for standard output and standard error together, the second for one output line.
MAX_PRINTED_BYTES = 64 * MIB
MAX_LINE_BYTES = 4 * MIB
# A larger file is written to disk.
SPOOL_MEMORY_BYTES = 8 * MIB

Frame = tuple[bytes | None, bytes | None]


class OutputLimitError(Exception):
    """A program exceeded a limit; the text is a clause that names the limit."""


def read_lines(frames: Iterable[Frame]) -> Iterator[str]:
    """Yield the lines of standard output in `frames`: pairs of standard output and standard error.

    Raises `OutputLimitError` as soon as a limit is exceeded.
    """
    printed, rest = 0, bytearray()
    for output, errors in frames:
        printed += len(output or b"") + len(errors or b"")
        if printed > MAX_PRINTED_BYTES:
            raise OutputLimitError(f"it printed more than {MAX_PRINTED_BYTES // MIB} MiB")
        if not output:
            continue
        rest += output
        if b"\n" in output:
            *complete_lines, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in complete_lines:
                yield line.decode("utf-8", "replace")
        if len(rest) > MAX_LINE_BYTES:
            raise OutputLimitError(f"it printed a line of more than {MAX_LINE_BYTES // MIB} MiB")


def spool_to_file(chunks: Iterable[bytes], limit: int) -> IO[bytes]:
    """Return a temporary file with `chunks`, at its start; small files stay in memory.

    Raises `OutputLimitError` for more than `limit` bytes, without reading the rest.
    """
    # The client closes it; this function does so only on an error.
    file = tempfile.SpooledTemporaryFile(SPOOL_MEMORY_BYTES)  # noqa: SIM115
    try:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise OutputLimitError(f"it wrote more than {limit // MIB} MiB of files")
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
