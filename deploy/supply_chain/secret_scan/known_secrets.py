"""Collect the secrets of an environment, and find them in bytes in each encoding."""

from __future__ import annotations

import base64
import re
from collections.abc import Container, Iterator, Mapping
from urllib.parse import quote, quote_plus, urlsplit

from deploy.config import configuration
from deploy.config.configuration import Project
from deploy.core import yaml_files
from deploy.core.errors import DeployError
from deploy.server import auth, connections, redaction

# Variables of this tool, its server, and the programs that it runs: many environments share their
# values, and images contain them. A password in such a value is a secret nevertheless.
TOOL_VARIABLES = re.compile(r"(FLOW|DOCKER|PIP|UV|SERVE|PYTHON)_|SOURCE_DATE_EPOCH$")
# Fields of connections whose variable holds a secret; `secrets` holds those of custom connections.
SECRET_FIELDS = {
    "secrets",
    *(kind.secret for kind in connections.CONNECTION_TYPES.values() if kind.secret),
}
# Values that are frequent in ordinary text: true, warning, production, 8080, 2024-10-21.
_ORDINARY_TEXT = re.compile(r"[a-z]+|[A-Z]+|[A-Z][a-z]+|[0-9.:/_ -]+")
# Maximum length of a word that is too ordinary even as a secret. A longer one may be a password.
_MAX_WORD_LENGTH = 8
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


def collect_secrets(project: Project) -> dict[str, str]:
    """Return names and values of all secrets that no image of `project` may contain.

    These are the values of `.env`, and of variables that any flow's connections or env.secret name.
    Left out are values that cannot be distinguished from ordinary text, and values that a
    deploy.yaml lists under env.clear, where its author declares them public, unless the variable's
    name is that of a secret.
    """
    secret_variables, other_variables, clear_values = _collect_variables(project)
    file = configuration.read_env_file(project.root / ".env")
    secrets: dict[str, str] = {}
    for name in {*file, *secret_variables, *other_variables}:
        is_secret = name in secret_variables or bool(configuration.SECRET_NAME.search(name))
        # The two values may differ because one is outdated; both are secrets.
        for suffix, value in (("", project.environ.get(name)), (" of .env", file.get(name))):
            for text in _select_secrets(name, (value or "").strip(), is_secret):
                if (is_secret or text not in clear_values) and text not in secrets.values():
                    secrets[f"{name}{suffix if name in secrets else ''}"] = text
    return secrets


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
            for part in (value, *_extract_secrets(value), *_extract_key_lines(value)):
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


def _collect_variables(project: Project) -> tuple[set[str], set[str], set[str]]:
    """Return the variables that deploy.yaml files name (secret, other), and the clear values."""
    # Variables with keys of containers count even if no file names them.
    secret: set[str] = set(auth.KEY_VARIABLES)
    other: set[str] = set()
    clear: set[str] = set()
    for name in configuration.list_flow_names(project):
        try:
            document = yaml_files.load(project.root / "flows" / name / configuration.DEPLOY_FILE)
        except DeployError:
            # This flow gets no image until its file is corrected.
            continue
        for keys, text in document.strings():
            match keys:
                case ("environments", _, "env", "secret", _):
                    secret.add(text)
                case ("environments", _, "env", "clear", _):
                    clear.add(text)
                case ("connections", _, *fields) if connections.is_variable_name(text):
                    (secret if SECRET_FIELDS & set(fields) else other).add(text)
    return secret, other, clear


def _select_secrets(name: str, value: str, is_secret: bool) -> list[str]:
    """Return `value` or its secret parts, unless ordinary text is likely to contain the same."""
    if TOOL_VARIABLES.match(name) and not is_secret:
        return _extract_secrets(value)
    if len(value) < redaction.MIN_SECRET_LENGTH:
        return []
    is_ordinary = _ORDINARY_TEXT.fullmatch(value) and not (
        is_secret and len(value) > _MAX_WORD_LENGTH
    )
    return [] if is_ordinary else [value]


def _extract_secrets(value: str) -> list[str]:
    """Return the secrets within a connection string or a URL, which are secret on their own."""
    secrets = [part for part in _SECRET_PARTS.findall(value) if len(part) > _MAX_WORD_LENGTH]
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
