"""Texts of pictures are read as promptflow reads them, in time that grows with their length."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.server.promptflow import image_texts

# promptflow-core 1.18.5, _utils/multimedia_utils.py and core/_prompty_utils.py.
BASE64 = r"^([A-Za-z0-9+/]{4})*(([A-Za-z0-9+/]{2})*(==|[A-Za-z0-9+/]=)?)?$"
PREFIX = r"^data:image/(.*);base64"
PROMPTY = r"^data:image/(.*);(path|base64|url):\s*(.*)$"


def is_base64(value: str) -> bool:
    """promptflow's own, its expressions and all."""
    parts = value.split(",")
    if len(parts) == 2:
        return bool(re.match(PREFIX, parts[0]) and re.match(BASE64, parts[1]))
    return len(parts) == 1 and bool(re.match(BASE64, value))


def texts(*pieces: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), max_size=12).map("".join)


@settings(max_examples=3000, deadline=None)
@given(
    texts("A", "AA", "AAA", "=", "==", "\n", ",", "+", "/", "-", " ", "data:image/png;base64", "é")
)
@example("data:image/png;base64,AAAA")
def test_base64_is_recognized_as_by_promptflow(value: str) -> None:
    assert image_texts.is_base64(value) == is_base64(value)


@settings(max_examples=3000, deadline=None)
@given(texts(";path:", ";base64:", ";url:", " ", "\n", "\t", "x", ":", ";", "png", "\x85", "\r"))
@example("png;path: a.png\n")
def test_images_of_prompties_are_read_as_by_promptflow(rest: str) -> None:
    for text in (rest, f"data:image/{rest}"):
        match = re.match(PROMPTY, text)
        picture = image_texts.parse(text)
        expected = match and (f"image/{match[1]}", match[2], match[3])
        assert (picture and (picture.mime_type, picture.source, picture.content)) == expected


@pytest.mark.parametrize("piece", ["A", "AAAA", ",", "=", ";url:", " ", "\n", ";path:\n", "A="])
@pytest.mark.parametrize("end", ["", "!", "\nx", "\nx\ny"])
def test_a_megabyte_takes_no_time(piece: str, end: str) -> None:
    # Of promptflow's expressions, 8,000 characters take most of a second: the test would not end.
    for start in ("", "data:image/png;path:", "data:image/"):
        text = start + piece * (1_000_000 // len(piece)) + end
        image_texts.is_base64(text)
        image_texts.parse(text)
