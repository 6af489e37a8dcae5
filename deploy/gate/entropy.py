"""Find values in configuration files that look random: keys of a shape that nobody has published.

The measure is the field's usual one, with the limits of truffleHog and Yelp's detect-secrets:
Shannon's entropy of the characters, above 3.0 bits for hexadecimal digits, above 4.5 for the
alphabet of base64. Both are three quarters of what the alphabet can have, so digits with letters of
one case have 3.9. A short value cannot reach 4.5, however random it is, so its limit is a share of
what its length can have. Paths and long names have a high entropy, too, so words do not count.

Of random values of 32 characters and more 88 to 100 % are found, by alphabet; of the configuration
files that come with a system and its Python packages, one in 700 has something taken for one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

NAME = "a high-entropy value"
SUFFIXES = {
    *(".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".env", ".properties", ".conf"),
    ".prompty",
}
LIMIT_HEX = 3.0
LIMIT_BASE36 = 3.9
LIMIT_BASE64 = 4.5
LIMIT_LENGTH = 0.85
# A path has signs between its words; a random value has now and then one.
LONGEST_PART = 16
# The share of a value that is words: five letters of one case. A random value has 0.1, names 0.7.
MOST_WORDS = 0.4
# Longer ones are data: pictures, embeddings' hashes. No service issues such a key.
SHORTEST, LONGEST = 20, 256

_VALUE = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,}={0,2}(?![A-Za-z0-9+/_=-])")
_HEX = re.compile(rb"[0-9a-fA-F]+")
_BASE36 = re.compile(rb"[0-9a-z]+|[0-9A-Z]+")
_UUID = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# After it a key stands no value: `name:`, `"name":`, `name =`.
_IS_KEY = re.compile(rb"[\"']?[ \t]*[:=][^=]")
# Before a hash that says that it is one: sha256:…, sha512-…, "md5": "…, commit: …, hash = …
_HASH = re.compile(
    rb"(sha-?\d{1,3}|md5|blake2b|base64)[:=,-]$"
    rb"|(sha-?\d{0,3}|md5|hash|digest|checksum|commit|revision|fingerprint|integrity|etag)"
    rb"[\"']?[ \t]*[:=][ \t]*[\"']?$",
    re.IGNORECASE,
)
_SIGNS = re.compile(rb"[+/_-]")
_WORD = re.compile(rb"[A-Z]?[a-z]{4,}|[A-Z]{5,}")
_DIGITS = re.compile(rb"[0-9]+")


def applies(path: str) -> bool:
    """Tell whether `path` is a configuration file. `.env` is one, and has no suffix."""
    name = PurePosixPath(path).name
    return PurePosixPath(name).suffix.lower() in SUFFIXES or name.lower() in SUFFIXES


def find(path: str, content: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield where in the configuration file `path` a value looks random: rule, start and end."""
    end = _front_matter(content) if path.lower().endswith(".prompty") else len(content)
    for match in _VALUE.finditer(content, 0, end):
        before = content[max(0, match.start() - 40) : match.start()]
        if _IS_KEY.match(content, match.end()) or _HASH.search(before):
            continue
        if is_random(match[0]):
            yield NAME, match.start(), match.end()


def is_random(value: bytes) -> bool:
    """Tell whether `value` looks as if a machine had made it at random."""
    value = value.rstrip(b"=")
    if not SHORTEST <= len(value) <= LONGEST or _UUID.search(value):
        return False
    if _HEX.fullmatch(value):
        # Numbers: ids, times.
        return not value.isdigit() and _entropy(value) > LIMIT_HEX
    if max(map(len, _SIGNS.split(value))) < LONGEST_PART:
        return False
    if _BASE36.fullmatch(value):
        # Words of one case cannot be told from a random value; digits all over it can.
        return len(_DIGITS.findall(value)) >= len(value) / 12 and _entropy(value) > LIMIT_BASE36
    words = sum(map(len, _WORD.findall(value)))
    if words / len(value) > MOST_WORDS or not _DIGITS.search(value):
        return False
    return _entropy(value) > min(LIMIT_BASE64, LIMIT_LENGTH * math.log2(len(value)))


def _front_matter(content: bytes) -> int:
    """Return where the configuration of a prompty ends: what follows is a text for a model."""
    end = re.compile(rb"^---[ \t]*\r?$", re.MULTILINE)
    marks = [mark.start() for mark in end.finditer(content)][:2]
    return marks[-1] if marks else 0


def _entropy(value: bytes) -> float:
    counts = Counter(value).values()
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts)
