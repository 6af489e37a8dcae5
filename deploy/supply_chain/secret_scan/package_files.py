"""Recognize files that packages installed unchanged, by the checksums in the packages.

A file with such a checksum has content that the distribution or the package index published. So it
is not one of your secrets, wherever in the image the file and the list of checksums are. Such lists
are dpkg's (deb-md5sums(5), and the conffiles in its status) and the RECORD of a Python package.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import re
from collections.abc import Iterator

RECORD_PATH = re.compile(r"(.+/)?[^/]+[.]dist-info/RECORD")
# Images without dpkg have the same lists in status.d (distroless).
MD5SUMS_PATH = re.compile(r"var/lib/dpkg/(info|status[.]d)/[^/]+[.]md5sums")
DPKG_STATUS_PATH = "var/lib/dpkg/status"

_MD5SUM_LINE = re.compile(r"^([0-9a-f]{32})  ", re.MULTILINE)
_CONFFILE_LINE = re.compile(r"^ /.* ([0-9a-f]{32})(?: obsolete)?$", re.MULTILINE)


def is_checksum_list(path: str) -> bool:
    """Return whether the file at `path` of an image lists checksums."""
    return path == DPKG_STATUS_PATH or bool(
        MD5SUMS_PATH.fullmatch(path) or RECORD_PATH.fullmatch(path)
    )


def read_checksums(path: str, content: bytes) -> Iterator[str]:
    """Yield the checksums in the list at `path`, in the format of `compute_digests`."""
    text = content.decode("utf-8", "replace")
    if RECORD_PATH.fullmatch(path):
        yield from _read_record(text)
    else:
        pattern = _CONFFILE_LINE if path == DPKG_STATUS_PATH else _MD5SUM_LINE
        yield from (f"md5:{match[1]}" for match in pattern.finditer(text))


def compute_digests(content: bytes) -> frozenset[str]:
    """Return the checksums of `content` that a list may contain.

    dpkg has only MD5. It suffices to detect a changed file: adding a secret to a file changes its
    checksum, unless two files were made to collide on purpose. Only a package's author could do
    that, who can publish anything anyway.
    """
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return frozenset({f"md5:{md5}", f"sha256:{hashlib.sha256(content).hexdigest()}"})


def _read_record(text: str) -> Iterator[str]:
    """Yield the hash of each line that has one (PEP 376, PEP 427: base64 without its padding)."""
    for row in csv.reader(text.splitlines()):
        if len(row) == 3 and row[1].startswith("sha256="):
            try:
                digest = base64.urlsafe_b64decode(f"{row[1].removeprefix('sha256=')}=")
            except binascii.Error:
                continue
            yield f"sha256:{digest.hex()}"
