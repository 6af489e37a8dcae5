"""What a program in an isolated container prints and leaves, in bounds: it is code of others."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

MIB = 2**20
# Of standard output and standard error together, and of one line of the former.
PRINTED_BYTES = 64 * MIB
LINE_BYTES = 4 * MIB
# Until it is written to disk.
IN_MEMORY = 8 * MIB

Frame = tuple[bytes | None, bytes | None]


class TooMuchError(Exception):
    """A program went past a limit; the text is a clause that says which."""


def lines(frames: Iterable[Frame]) -> Iterator[str]:
    """Yield the lines of standard output in `frames`, pairs of standard output and standard error.

    Raises:
        TooMuchError: As soon as a limit is passed.
    """
    printed, rest = 0, bytearray()
    for output, errors in frames:
        printed += len(output or b"") + len(errors or b"")
        if printed > PRINTED_BYTES:
            raise TooMuchError(f"it printed more than {PRINTED_BYTES // MIB} MiB")
        if not output:
            continue
        rest += output
        if b"\n" in output:
            *whole, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in whole:
                yield line.decode("utf-8", "replace")
        if len(rest) > LINE_BYTES:
            raise TooMuchError(f"it printed a line of more than {LINE_BYTES // MIB} MiB")


def spooled(chunks: Iterable[bytes], limit: int) -> IO[bytes]:
    """Return a temporary file with `chunks`, at its start: in memory where it is small.

    Raises:
        TooMuchError: For more than `limit` bytes; the rest is not read.
    """
    # Closed by the caller, or here where it does not come to that.
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
    try:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise TooMuchError(f"it left more than {limit // MIB} MiB of files")
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
