"""What an environment holds and no image may: found in a project, and looked for in bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Container, Iterator, Mapping
from urllib.parse import quote, quote_plus, urlsplit

from deploy import config, documents
from deploy.config import Project
from deploy.errors import DeployError
from deploy.runtime import access, connections, redaction

# Settings of the tool, of its server, and of the programs that it runs: they are the same for many,
# and images are made of them. A password in one counts all the same.
OF_TOOLS = re.compile(r"(FLOW|DOCKER|PIP|UV|SERVE|PYTHON)_|SOURCE_DATE_EPOCH$")
# Fields of connections whose variable holds a secret; `secrets` are those of custom ones.
SECRET_FIELDS = {"secrets", *(kind.secret for kind in connections.TYPES.values() if kind.secret)}
# Ordinary text is full of these: true, warning, production, 8080, 2024-10-21.
_ORDINARY = re.compile(r"[a-z]+|[A-Z]+|[A-Z][a-z]+|[0-9.:/_ -]+")
# The longest word that is too ordinary for a secret, too. Longer ones may be somebody's password.
_WORD = 8
_PARTS = re.compile(r"(?:Key|Secret|Password|Pwd|sig)=([^;&\s]+)", re.IGNORECASE)
# Base64 as in a private key; its last line may be shorter, and is not worth a false alarm.
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=]{32,}")
# The printable characters, those first that images have least of (counted in an image of a flow).
_RARE = (
    b"~^Q&{J;+Y?!*K<XVW>q%\\67Z}zG[3#j945F@`8]U2O/MRk'BPw-=Cxv|NS:T(,1)DbEIyg\"L$.Ah0mfupc_ldHina"
    b"osrte"
)
# MIME breaks base64 into lines of 76 characters, PEM of 64; JSON and code have escapes for it.
_BREAK = re.compile(rb"\s|\\[nr]")
_LINE = 60
# So many bytes may be breaks and indentation within one value.
_BREAKS = 256
# The part of a value in base64 that does not depend on what is around it: at least this long.
_CORE = 8


def of(project: Project) -> dict[str, str]:
    """Return names and values of all that must be in no image of `project`.

    That is what `.env` holds, and the variables that any flow's connections or env.secret name.
    Left out is what cannot be told from ordinary text; and, unless its name is that of a secret,
    what a deploy.yaml has under env.clear: who wrote it there said that anybody may read it.
    """
    secret, other, clear = _named(project)
    file = config.env_file(project.root / ".env")
    found: dict[str, str] = {}
    for name in {*file, *secret, *other}:
        hidden = name in secret or bool(config.SECRET_NAME.search(name))
        # One of the two may be of yesterday; it is a secret all the same.
        for suffix, value in (("", project.environ.get(name)), (" of .env", file.get(name))):
            for text in _telling(name, (value or "").strip(), hidden):
                if (hidden or text not in clear) and text not in found.values():
                    found[f"{name}{suffix if name in found else ''}"] = text
    return found


class Needles:
    """Values that are looked for, in each form that they may be written in.

    As they are, within JSON, within a URL, in UTF-16, and in base64, alone or within something
    longer, also over several lines. All are searched for at once, by the rarest character of each:
    `bytes.find` takes as long for each form.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.names: dict[bytes, str] = {}
        # Parts of forms in base64, one of which is whole where the form is broken into lines.
        self._broken: dict[bytes, list[tuple[bytes, str]]] = {}
        for name, value in values.items():
            for part in (value, *_parts(value), *_key_lines(value)):
                if len(part) >= redaction.SHORTEST:
                    self._add(part, name)
        groups: dict[bytes, list[tuple[bytes, int]]] = {}
        for needle in (*self.names, *self._broken):
            at = _rarest(needle, groups)
            groups.setdefault(needle[at : at + 1], []).append((needle, at))
        self._groups = [(_beginning(group), group) for group in groups.values()]

    @property
    def longest(self) -> int:
        """The length of the longest form, with line breaks in it."""
        return max(map(len, self.names), default=-_BREAKS) + _BREAKS

    def find(self, data: bytes) -> Iterator[tuple[str, int]]:
        """Yield where in `data` one of the values begins, and the name of that value."""
        for beginning, group in self._groups:
            for hit in beginning.finditer(data):
                for needle, at in group:
                    start = hit.start() - at
                    if start < 0 or not data.startswith(needle, start):
                        continue
                    if needle in self.names:
                        yield self.names[needle], start
                    for form, name in self._broken.get(needle, ()):
                        if _is_around(form, data, start):
                            yield name, start

    def _add(self, value: str, name: str) -> None:
        for form in _forms(value):
            self.names.setdefault(form, name)
        for form in _base64_forms(value):
            self.names.setdefault(form, name)
            # Lines have 64 characters or more, so of so many next to each other one part is whole.
            half = min(len(form), _LINE) // 2
            for part in (form[:half], form[half : 2 * half]):
                self._broken.setdefault(part, []).append((form, name))

    def masked(self, data: bytes) -> bytes:
        """Return `data` without any of the values."""
        return redaction.mask(data, sorted(self.names, key=len, reverse=True))


def _rarest(needle: bytes, groups: Container[bytes]) -> int:
    """Return the place of the character that images have least of; three more stand behind it.

    One that others are looked for by, if there is one: each character takes a pass.
    """
    places = range(len(needle) - 3)
    shared = [at for at in places if needle[at : at + 1] in groups]
    return min(shared or places, key=lambda at: _RARE.find(needle[at : at + 1]) % 256)


def _beginning(group: list[tuple[bytes, int]]) -> re.Pattern[bytes]:
    """Return a pattern for the rarest character of `group` and what follows it."""
    needle, at = group[0]
    rests = {re.escape(needle[at + 1 : at + 7]) for needle, at in group}
    return re.compile(re.escape(needle[at : at + 1]) + b"(?=" + b"|".join(sorted(rests)) + b")")


def _named(project: Project) -> tuple[set[str], set[str], set[str]]:
    """Return the variables that deploy.yaml files name: secret ones, others; and what is clear."""
    # Keys of containers need not be named anywhere.
    secret: set[str] = set(access.NAMES)
    other: set[str] = set()
    clear: set[str] = set()
    for name in config.flow_names(project):
        try:
            document = documents.load(project.root / "flows" / name / config.DEPLOY)
        except DeployError:
            # That flow has no image before its file is mended.
            continue
        for keys, text in document.texts():
            match keys:
                case ("environments", _, "env", "secret", _):
                    secret.add(text)
                case ("environments", _, "env", "clear", _):
                    clear.add(text)
                case ("connections", _, *fields) if connections.is_variable(text):
                    (secret if SECRET_FIELDS & set(fields) else other).add(text)
    return secret, other, clear


def _telling(name: str, value: str, hidden: bool) -> list[str]:
    """Return `value`, or its parts, where an ordinary text would not hold the same by chance."""
    if OF_TOOLS.match(name) and not hidden:
        return _parts(value)
    if len(value) < redaction.SHORTEST:
        return []
    ordinary = _ORDINARY.fullmatch(value) and not (hidden and len(value) > _WORD)
    return [] if ordinary else [value]


def _parts(value: str) -> list[str]:
    """Return the secrets within a connection string or a URL: they are such alone, too."""
    found = [part for part in _PARTS.findall(value) if len(part) > _WORD]
    if "://" in value:
        try:
            password = urlsplit(value).password
        except ValueError:
            password = None
        found += [password] if password else []
    return found


def _key_lines(value: str) -> list[str]:
    """Return the lines of a private key: an image may hold it indented, or a part of it.

    Other secrets of several lines, a JSON document say, have lines that anybody's have.
    """
    return [line for line in redaction.lines(value) if _KEY_LINE.fullmatch(line)]


def _forms(value: str) -> set[bytes]:
    written = {*redaction.written(value), quote(value, safe=""), quote(value), quote_plus(value)}
    # .NET writes %2f for %2F.
    written |= {re.sub("%..", lambda code: code[0].lower(), text) for text in written}
    found = {text.encode() for text in written}
    # What the two byte orders of UTF-16 have in common, for ASCII.
    return found | {text.encode("utf-16-le")[:-1] for text in written}


def _base64_forms(value: str) -> set[bytes]:
    """Return `value` in base64, in both alphabets, and also what PowerShell makes: of UTF-16."""
    cores = {*_cores(value.encode()), *_cores(value.encode("utf-16-le"))}
    return cores | {core.replace(b"+", b"-").replace(b"/", b"_") for core in cores}


def _is_around(form: bytes, data: bytes, start: int) -> bool:
    """Return whether `form` is around `start`, with line breaks in it."""
    reach = len(form) + _BREAKS
    return form in _BREAK.sub(b"", data[max(0, start - reach) : start + reach])


def _cores(value: bytes) -> Iterator[bytes]:
    """Yield what of `value` in base64 is the same whatever stands before and behind it.

    Three bytes become four characters, so there are three ways, by where it begins.
    """
    for before in range(3):
        start = (before * 8 + 5) // 6
        end = (before + len(value)) * 8 // 6
        core = base64.b64encode(b"\0" * before + value)[start:end]
        if len(core) >= _CORE:
            yield core
