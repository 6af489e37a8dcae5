"""Find known values in bytes, in each form in which they may be written."""

from __future__ import annotations

import base64
import re
from collections.abc import Container, Iterator, Mapping
from urllib.parse import quote, quote_plus, urlsplit

from deploy.server import redaction

# Maximum length of a word that is too ordinary even as a secret. A longer one may be a password.
MAX_WORD_LENGTH = 8
_SECRET_PARTS = re.compile(r"(?:Key|Secret|Password|Pwd|sig)=([^;&\s]+)", re.IGNORECASE)
# Base64 as in a private key; its last line may be shorter, and would cause false alarms.
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=]{32,}")
# The printable characters, the rarest in images first (counted in the image of a flow).
_CHARACTERS_BY_RARITY = (
    b"~^Q&{J;+Y?!*K<XVW>q%\\67Z}zG[3#j945F@`8]U2O/MRk'BPw-=Cxv|NS:T(,1)DbEIyg\"L$.Ah0mfupc_ldHina"
    b"osrte"
)
# MIME breaks base64 into lines of 76 characters, PEM into lines of 64; JSON and code write line
# breaks as escapes.
_BREAK = re.compile(rb"\s|\\[nr]")
_LINE_LENGTH = 60
# Maximum number of bytes of line breaks and indentation within one value.
_MAX_BREAK_BYTES = 256
# Minimum length of the part of a base64 text that does not depend on the bytes around the value.
_MIN_CORE_LENGTH = 8


class SecretMatcher:
    """A search for known values in all forms in which they may be written.

    The forms are: verbatim, within JSON, within a URL, in UTF-16, and in base64, alone or within a
    longer text, also across several lines. All are searched for at once by the rarest character of
    each: one pass for each form with `bytes.find` would take as long as this takes for all.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.names: dict[bytes, str] = {}
        # Parts of base64 forms; if a form is broken into lines, one of its parts is on a single
        # line.
        self._broken: dict[bytes, list[tuple[bytes, str]]] = {}
        for name, value in values.items():
            for part in (value, *extract_secrets(value), *_extract_key_lines(value)):
                if len(part) >= redaction.MIN_SECRET_LENGTH:
                    self._add(part, name)
        groups: dict[bytes, list[tuple[bytes, int]]] = {}
        for needle in (*self.names, *self._broken):
            position = _find_rarest(needle, groups)
            groups.setdefault(needle[position : position + 1], []).append((needle, position))
        self._groups = [(_compile_prefix_pattern(group), group) for group in groups.values()]

    @property
    def max_length(self) -> int:
        """Return the length in bytes of the longest form, with line breaks in it."""
        return max(map(len, self.names), default=-_MAX_BREAK_BYTES) + _MAX_BREAK_BYTES

    def find(self, data: bytes) -> Iterator[tuple[str, int]]:
        """Yield the name and the offset of each value in `data`."""
        for pattern, group in self._groups:
            for match in pattern.finditer(data):
                for needle, position in group:
                    start = match.start() - position
                    if start < 0 or not data.startswith(needle, start):
                        continue
                    if needle in self.names:
                        yield self.names[needle], start
                    for form, name in self._broken.get(needle, ()):
                        if _has_form_near(form, data, start):
                            yield name, start

    def _add(self, value: str, name: str) -> None:
        for form in _list_forms(value):
            self.names.setdefault(form, name)
        for form in _list_base64_forms(value):
            self.names.setdefault(form, name)
            # Lines have 64 characters or more. Both parts together have at most 60, so they contain
            # at most one line break, and one of them is on a single line.
            half = min(len(form), _LINE_LENGTH) // 2
            for part in (form[:half], form[half : 2 * half]):
                self._broken.setdefault(part, []).append((form, name))

    def mask(self, data: bytes) -> bytes:
        """Return `data` with all values masked."""
        return redaction.mask(data, sorted(self.names, key=len, reverse=True))


def _find_rarest(needle: bytes, groups: Container[bytes]) -> int:
    """Return the position of the rarest character in `needle` that three more follow.

    A character by which other needles are searched is preferred: each character takes a pass.
    """
    positions = range(len(needle) - 3)
    shared = [position for position in positions if needle[position : position + 1] in groups]
    return min(
        shared or positions,
        key=lambda position: _CHARACTERS_BY_RARITY.find(needle[position : position + 1]) % 256,
    )


def _compile_prefix_pattern(group: list[tuple[bytes, int]]) -> re.Pattern[bytes]:
    """Return a pattern for the rarest character of `group` and the characters that follow it."""
    needle, position = group[0]
    rests = {re.escape(needle[position + 1 : position + 7]) for needle, position in group}
    return re.compile(
        re.escape(needle[position : position + 1]) + b"(?=" + b"|".join(sorted(rests)) + b")"
    )


def extract_secrets(value: str) -> list[str]:
    """Return the secrets within a connection string or a URL, which are secret on their own."""
    secrets = [part for part in _SECRET_PARTS.findall(value) if len(part) > MAX_WORD_LENGTH]
    if "://" in value:
        try:
            password = urlsplit(value).password
        except ValueError:
            password = None
        secrets += [password] if password else []
    return secrets


def _extract_key_lines(value: str) -> list[str]:
    """Return the lines of a private key: an image may contain it indented, or a part of it.

    The lines of other multi-line secrets, such as a JSON document, may occur anywhere.
    """
    return [line for line in redaction.split_secret(value) if _KEY_LINE.fullmatch(line)]


def _list_forms(value: str) -> set[bytes]:
    written = {
        *redaction.encode_spellings(value),
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
    }
    # .NET writes %2f for %2F.
    written |= {re.sub("%..", lambda code: code[0].lower(), text) for text in written}
    forms = {text.encode() for text in written}
    # The bytes that are the same in both byte orders of UTF-16, for ASCII.
    return forms | {text.encode("utf-16-le")[:-1] for text in written}


def _list_base64_forms(value: str) -> set[bytes]:
    """Return `value` in base64, in both alphabets, also as UTF-16, as PowerShell encodes it."""
    cores = {
        *_iterate_base64_cores(value.encode()),
        *_iterate_base64_cores(value.encode("utf-16-le")),
    }
    return cores | {core.replace(b"+", b"-").replace(b"/", b"_") for core in cores}


def _has_form_near(form: bytes, data: bytes, start: int) -> bool:
    """Return whether `form`, with line breaks in it, is around the offset `start`."""
    reach = len(form) + _MAX_BREAK_BYTES
    return form in _BREAK.sub(b"", data[max(0, start - reach) : start + reach])


def _iterate_base64_cores(value: bytes) -> Iterator[bytes]:
    """Yield the parts of `value` in base64 that do not depend on the bytes around it.

    Three bytes become four characters, so there are three variants, by the offset of the value.
    """
    for before in range(3):
        start = (before * 8 + 5) // 6
        end = (before + len(value)) * 8 // 6
        core = base64.b64encode(b"\0" * before + value)[start:end]
        if len(core) >= _MIN_CORE_LENGTH:
            yield core
