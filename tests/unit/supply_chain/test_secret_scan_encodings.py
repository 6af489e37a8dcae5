"""Secrets that do not stand in a file as they are: UTF-16, base64, archives in archives, bombs."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.core.entities import Flow
from deploy.docker import tar_files
from deploy.supply_chain.secret_scan import archives, encodings, scanner
from tests import fake_secrets
from tests.saved_images import layer
from tests.unit.supply_chain.conftest import flow  # noqa: F401 (fixture)
from tests.unit.supply_chain.scanned_images import HIDDEN, KEY, image, refusal, zipped

TOKEN = fake_secrets.SECRETS["an npm token"]
TEXT = f"Grüße aus Köln, und ein Schlüssel:\n{TOKEN} {KEY}\nEnde\n"
LONG = ("some words before, " * 9 + TEXT + " and some words behind" * 9).encode()


def wrapped(content: bytes, width: int, end: str) -> bytes:
    text = base64.b64encode(content).decode()
    return end.join(text[at : at + width] for at in range(0, len(text), width)).encode()


ENCODINGS: dict[str, Callable[[], bytes]] = {
    "UTF-16, little-endian": lambda: TEXT.encode("utf-16-le"),
    "UTF-16, big-endian": lambda: TEXT.encode("utf-16-be"),
    "with a mark": lambda: b"\xff\xfe" + TEXT.encode("utf-16-le"),
    "with the other mark": lambda: b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "UTF-16 in a program": lambda: b"\x7fELF\1\2\3" + TEXT.encode("utf-16-le") + b"\0\0\1",
    "at an odd place": lambda: b"\1" + TEXT.encode("utf-16-be"),
    "alone, little-endian": lambda: TOKEN.encode("utf-16-le") + b"\1" + KEY.encode("utf-16-le"),
    "alone, big-endian": lambda: TOKEN.encode("utf-16-be") + b"\1" + KEY.encode("utf-16-be"),
    "base64 at 76 columns": lambda: wrapped(LONG, 76, "\n"),
    "base64 of Windows": lambda: wrapped(LONG, 76, "\r\n"),
    "base64 at 64 columns": lambda: b"-----BEGIN X-----\n" + wrapped(LONG, 64, "\n"),
    "base64 in YAML": lambda: b"data: |\n    " + wrapped(LONG, 76, "\n    "),
    "base64 in JSON": lambda: json.dumps({"a": wrapped(LONG, 76, "\n").decode()}).encode(),
    "base64 in a URL": lambda: b"https://x/?a=" + base64.urlsafe_b64encode(LONG),
    "base64 in one line": lambda: b"auth = " + base64.b64encode(LONG) + b"\n",
    "base64 of UTF-16": lambda: b"-enc " + base64.b64encode(TEXT.encode("utf-16-le")),
    "base64 of UTF-16, in lines": lambda: wrapped(TEXT.encode("utf-16-le"), 76, "\n"),
}
FILE = "app/flow/notes.txt"


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_secret_is_found_in_each_encoding(name: str, tmp_path: Path, flow: Flow) -> None:  # noqa: F811
    message = refusal(image(tmp_path, [layer({FILE: ENCODINGS[name]()})]), flow, HIDDEN)
    places = message.splitlines()[::2]
    assert [line for line in places if line.endswith("this looks like an npm token")]
    assert [line for line in places if line.endswith("this contains the value of MODEL_API_KEY")]
    assert len(places) == 2
    assert TOKEN[4:] not in message and KEY not in message


@pytest.mark.parametrize("start", range(0, 77, 7))
def test_a_line_may_break_anywhere_in_a_value(start: int, tmp_path: Path, flow: Flow) -> None:  # noqa: F811
    content = wrapped(b"x" * start + KEY.encode() + b"y" * 99, 76, "\n")
    message = refusal(image(tmp_path, [layer({FILE: content})]), flow, HIDDEN)
    assert "this contains the value of MODEL_API_KEY" in message


@pytest.mark.parametrize("name", ["base64 in one line", "base64 at 76 columns"])
def test_variables_of_an_image_may_be_encoded(name: str, tmp_path: Path, flow: Flow) -> None:  # noqa: F811
    config = {"config": {"Env": [f"SOME_NAME={ENCODINGS[name]().decode()}"]}}
    message = refusal(image(tmp_path, [layer({})], config), flow, HIDDEN)
    assert "variable SOME_NAME: this looks like an npm token" in message
    assert "variable SOME_NAME: this contains the value of MODEL_API_KEY" in message


def test_a_line_names_where_base64_begins(tmp_path: Path, flow: Flow) -> None:  # noqa: F811
    content = b"one\ntwo\n" + wrapped(LONG, 76, "\n")
    message = refusal(image(tmp_path, [layer({FILE: content})]), flow)
    assert message.startswith(f"/{FILE} (layer 1), line 3: this looks like an npm token")


def test_text_that_is_no_secret_passes(tmp_path: Path, flow: Flow) -> None:  # noqa: F811
    plain = ("Nothing to see here. " * 99).encode()
    files: dict[str, bytes | str] = {
        "a": plain.decode().encode("utf-16"),
        "b": wrapped(plain, 76, "\n"),
        "c": fake_secrets.text(fake_secrets.BASE64, 5000),
        "d": bytes(range(256)) * 99,
    }
    scanner.refuse_secrets(image(tmp_path, [layer(files)]), flow, HIDDEN)


def office(text: str) -> bytes:
    """Return a document with a table embedded in it, as Word writes them."""
    table = zipped({"xl/sharedStrings.xml": f"<t>{text}</t>"})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", "<w:t>Hello</w:t>")
        archive.writestr("word/embeddings/table.xlsx", table)
    return buffer.getvalue()


NESTED: dict[str, tuple[Callable[[str], bytes], str]] = {
    "app/flow/letter.docx": (office, "!word/embeddings/table.xlsx!xl/sharedStrings.xml"),
    "app/flow/a.tar.xz": (
        lambda text: lzma.compress(layer({"b.zip": zipped({"c": text})})),
        "!b.zip!c",
    ),
    "app/flow/a.bin": (lambda text: zipped_bytes("b.gz", gzip.compress(text.encode())), "!b.gz!"),
    "app/flow/two.gz": (
        lambda text: gzip.compress(b"first\n") + gzip.compress(text.encode()),
        "!",
    ),
    "app/flow/utf16.zip": (lambda text: zipped_bytes("b", text.encode("utf-16")), "!b"),
}


def zipped_bytes(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("path", NESTED)
def test_archives_in_archives_are_looked_into(path: str, tmp_path: Path, flow: Flow) -> None:  # noqa: F811
    make, inner = NESTED[path]
    message = refusal(image(tmp_path, [layer({path: make(f"{TOKEN} {KEY}")})]), flow, HIDDEN)
    assert f"/{path}{inner} (layer 1)" in message
    assert "this looks like an npm token" in message
    assert "this contains the value of MODEL_API_KEY" in message


def sparse() -> bytes:
    """Return a tar archive of a file that says it has a terabyte (GNU's old form of sparse)."""
    info = tarfile.TarInfo("huge")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:398] = header[398:410] = b"00000000000\0"
    header[483:495] = b"\x80" + (10**12).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + bytes(1024)


def negative() -> bytes:
    """Return a tar archive of a file of a negative size (CVE-2025-8194)."""
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" + (2**88 - 512).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + bytes(1024)


def quine() -> bytes:
    """Return an archive of archives of archives, each of the same many."""
    content = bytes(2**20)
    for level in range(6):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(16):
                archive.writestr(f"{level}-{number}.zip", content)
        content = buffer.getvalue()
    return content


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(bytes(2**28)),
    "bzip2": lambda: bz2.compress(bytes(2**28)),
    "xz": lambda: lzma.compress(bytes(2**28)),
    "zip": lambda: zipped_bytes("a", bytes(2**28)),
    "archives in archives": quine,
    "members without end": lambda: gzip.compress(b"") * 100_000,
    "sparse": sparse,
    "negative": negative,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_stays_small(name: str) -> None:
    content = BOMBS[name]()
    tracemalloc.start()
    try:
        size = sum(len(data) for _, data in archives.unpack_files("a", content))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # What is in archives counts once for each level.
    assert size <= archives.MAX_LEVELS * archives.UNPACKED
    assert peak < 4 * archives.UNPACKED


def test_xz_with_a_dictionary_of_gigabytes_is_not_opened() -> None:
    content = bytearray(lzma.compress(TOKEN.encode(), check=lzma.CHECK_NONE))
    # The block header: its size, flags, filter id 0x21, size of properties, dictionary, padding.
    at = content.index(b"\x21\x01") + 2
    content[at] = 40
    block = content[12:20]
    content[20:24] = zlib.crc32(block).to_bytes(4, "little")
    assert list(archives.unpack_files("a.xz", bytes(content))) == []


def test_searching_takes_bounded_time() -> None:
    """What would be slow in an expression that goes back: linear here, so this ends."""
    for content in (
        b"A" * 2_000_000,
        (b"A" * 40 + b" " * 5000 + b"\n") * 300,
        b"A" * 40 + b"\n" + b" " * 2_000_000,
        b"\0a" * 1_000_000,
        b"\\n" * 1_000_000,
    ):
        assert list(encodings.find_secrets(content)) == []


def test_names_in_archives_of_layers_are_strict() -> None:
    with (
        pytest.raises(tarfile.TarError),
        tarfile.open(fileobj=io.BytesIO(negative()), tarinfo=tar_files.StrictTarInfo) as archive,
    ):
        archive.getmembers()
