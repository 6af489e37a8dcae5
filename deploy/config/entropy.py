"""Find random-looking values in configuration files: keys in formats that are not published.

The measure is the usual one, with the limits of truffleHog and Yelp's detect-secrets: Shannon's
entropy of the characters, above 3.0 bits for hexadecimal digits and above 4.5 bits for the base64
alphabet. Both limits are three quarters of the alphabet's maximum, so digits with letters of one
case have the limit 3.9. A short value cannot reach 4.5, however random it is, so its limit is a
share of the maximum for its length. Paths and long names have a high entropy, too, so words do not
count.

Of random values of 32 characters and more, 88 to 100 % are found, depending on the alphabet. Of the
configuration files of a system and its Python packages, one in 700 has a false positive.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

RULE_NAME = "a high-entropy value"
CONFIG_SUFFIXES = {
    *(".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".env", ".properties", ".conf"),
    ".prompty",
}
LIMIT_HEX = 3.0
LIMIT_BASE36 = 3.9
LIMIT_BASE64 = 4.5
LIMIT_LENGTH_SHARE = 0.85
# A path has separators between its words; a random value has only a few.
MAX_PART_LENGTH = 16
# The share of a value that is words: five letters of one case. Random values have 0.1, names 0.7.
MAX_WORD_SHARE = 0.4
# Longer values are data, such as pictures or hashes of embeddings. No service issues such a key.
SHORTEST, LONGEST = 20, 256

_VALUE = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,}={0,2}(?![A-Za-z0-9+/_=-])")
_HEX = re.compile(rb"[0-9a-fA-F]+")
_BASE36 = re.compile(rb"[0-9a-z]+|[0-9A-Z]+")
_UUID = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# Follows the name of a key, which is not a value: `name:`, `"name":`, `name =`.
_KEY_SUFFIX = re.compile(rb"[\"']?[ \t]*[:=][^=]")
# Precedes a value that is labelled as a hash: sha256:…, sha512-…, "md5": "…, commit: …, hash = …
_HASH_PREFIX = re.compile(
    rb"(sha-?\d{1,3}|md5|blake2b|base64)[:=,-]$"
    rb"|(sha-?\d{0,3}|md5|hash|digest|checksum|commit|revision|fingerprint|integrity|etag)"
    rb"[\"']?[ \t]*[:=][ \t]*[\"']?$",
    re.IGNORECASE,
)
_SEPARATORS = re.compile(rb"[+/_-]")
_WORD = re.compile(rb"[A-Z]?[a-z]{4,}|[A-Z]{5,}")
_DIGITS = re.compile(rb"[0-9]+")


def is_config_file(path: str) -> bool:
    """Return whether `path` is a configuration file; `.env` is one, though it has no suffix."""
    name = PurePosixPath(path).name
    return PurePosixPath(name).suffix.lower() in CONFIG_SUFFIXES or name.lower() in CONFIG_SUFFIXES


def find_random_values(path: str, content: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield each random-looking value in the configuration file `path`: rule, start and end."""
    end = _front_matter_end(content) if path.lower().endswith(".prompty") else len(content)
    for match in _VALUE.finditer(content, 0, end):
        before = content[max(0, match.start() - 40) : match.start()]
        if _KEY_SUFFIX.match(content, match.end()) or _HASH_PREFIX.search(before):
            continue
        if is_random(match[0]):
            yield RULE_NAME, match.start(), match.end()


def is_random(value: bytes) -> bool:
    """Return whether `value` looks as if it was generated at random."""
    value = value.rstrip(b"=")
    if not SHORTEST <= len(value) <= LONGEST or _UUID.search(value):
        return False
    if _HEX.fullmatch(value):
        # Digits only are an id or a time.
        return not value.isdigit() and _entropy(value) > LIMIT_HEX
    if max(map(len, _SEPARATORS.split(value))) < MAX_PART_LENGTH:
        return False
    if _BASE36.fullmatch(value):
        # Words in one case look like a random value, unless digits are spread all over the value.
        return len(_DIGITS.findall(value)) >= len(value) / 12 and _entropy(value) > LIMIT_BASE36
    words = sum(map(len, _WORD.findall(value)))
    if words / len(value) > MAX_WORD_SHARE or not _DIGITS.search(value):
        return False
    return _entropy(value) > min(LIMIT_BASE64, LIMIT_LENGTH_SHARE * math.log2(len(value)))


def _front_matter_end(content: bytes) -> int:
    """Return the end of a prompty's front matter, which is followed by the prompt for a model."""
    marker_pattern = re.compile(rb"^---[ \t]*\r?$", re.MULTILINE)
    markers = [marker.start() for marker in marker_pattern.finditer(content)][:2]
    return markers[-1] if markers else 0


def _entropy(value: bytes) -> float:
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
