"""Files that packages brought unchanged, known by the checksums that packages come with.

A file with such a checksum holds what the distribution or the package index has published. So it
is no secret of yours, wherever in the image the file and the list of checksums are. Such lists are
dpkg's (deb-md5sums(5), and the conffiles in its status) and the RECORD of a Python package.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import re
from collections.abc import Iterator

RECORD = re.compile(r"(.+/)?[^/]+[.]dist-info/RECORD")
# Images without dpkg have the same lists in status.d (distroless).
SUMS = re.compile(r"var/lib/dpkg/(info|status[.]d)/[^/]+[.]md5sums")
STATUS = "var/lib/dpkg/status"

_SUM = re.compile(r"^([0-9a-f]{32})  ", re.MULTILINE)
_CONFFILE = re.compile(r"^ /.* ([0-9a-f]{32})(?: obsolete)?$", re.MULTILINE)


def is_list(path: str) -> bool:
    """Return whether the file at `path` of an image lists checksums."""
    return path == STATUS or bool(SUMS.fullmatch(path) or RECORD.fullmatch(path))


def checksums(path: str, content: bytes) -> Iterator[str]:
    """Yield the checksums that the list at `path` has, in the form of `digests`."""
    text = content.decode("utf-8", "replace")
    if RECORD.fullmatch(path):
        yield from _record(text)
    else:
        form = _CONFFILE if path == STATUS else _SUM
        yield from (f"md5:{found[1]}" for found in form.finditer(text))


def digests(content: bytes) -> frozenset[str]:
    """Return the checksums of `content` that a list may have.

    MD5 is all that dpkg has. It is enough to tell that a file was not changed: no secret gets into
    a file and leaves the sum as it was, unless two files were made to collide on purpose. A
    package's author could do that, who can publish anything anyway.
    """
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return frozenset({f"md5:{md5}", f"sha256:{hashlib.sha256(content).hexdigest()}"})


def _record(text: str) -> Iterator[str]:
    """Yield the hash of each line that has one (PEP 376, PEP 427: base64 without its padding)."""
    for row in csv.reader(text.splitlines()):
        if len(row) == 3 and row[1].startswith("sha256="):
            try:
                digest = base64.urlsafe_b64decode(f"{row[1].removeprefix('sha256=')}=")
            except binascii.Error:
                continue
            yield f"sha256:{digest.hex()}"
