"""Patterns that recognise secrets, in configuration and in the files of an image."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# The reach of a search after an anchor: enough for a connection string, or a pair of AWS keys.
MAX_BYTES_AFTER_ANCHOR = 600
# A key with fewer distinct characters, or with one of these words, is an example in a manual.
MIN_DISTINCT_CHARACTERS = 8
PLACEHOLDER = re.compile(rb"example|your[-_]|xxxx|[.*]{3}|[<>{}]", re.IGNORECASE)
# Placeholders for passwords in manuals, and in the tests of URL parsers.
PLACEHOLDER_PASSWORD = re.compile(
    rb"(my|your|the|user|db|a|some|proxy)?[-_]?(pass(w|word|wd)?|pwd?|pswd|secret|token|key|x)\d?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Rule:
    """The pattern of one kind of secret."""

    name: str
    # Matches the secret; the group `key` is the part that must stay secret.
    pattern: re.Pattern[bytes]
    # Every match contains one of these, at most `before` bytes from its start. They begin with a
    # literal, which `re` finds twenty times faster than an alternation.
    anchors: tuple[re.Pattern[bytes], ...]
    before: int
    # Returns whether the `key` of a match is a real secret, and not only similar to one.
    is_genuine: Callable[[bytes], bool]


def _is_key(key: bytes) -> bool:
    return len(set(key)) >= MIN_DISTINCT_CHARACTERS and not PLACEHOLDER.search(key)


def _is_password(key: bytes) -> bool:
    return not PLACEHOLDER_PASSWORD.fullmatch(key) and not PLACEHOLDER.search(key)


def _is_docker_login(key: bytes) -> bool:
    """Return whether `key` is a user and a password in base64, as in Docker's configuration."""
    try:
        return b":" in base64.b64decode(key, validate=True) and _is_key(key)
    except binascii.Error:
        return False


def _define_rule(
    name: str,
    pattern: str,
    *anchors: str,
    before: int = 0,
    genuine: Callable[[bytes], bool] = _is_key,
) -> Rule:
    anchor_patterns = tuple(re.compile(anchor.encode()) for anchor in anchors)
    return Rule(name, re.compile(pattern.encode()), anchor_patterns, before, genuine)


# The characters between a name and its value, such as `=`, `: "` and `": "`.
_ASSIGNMENT = r"[\"']?\s{0,3}[=:]\s{0,3}[\"']?"
_BASE64 = r"[A-Za-z0-9+/]"
# The formats are published. Microsoft's keys contain a signature for scanners: see
# github.com/microsoft/security-utilities. The others are documented on each vendor's own pages.
_RULES = [
    _define_rule(
        "a private key",
        r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY( BLOCK)?-----"
        # Programs that read keys contain only the first line; a key continues (RFC 7468, RFC 1421).
        r"(?P<key>\Z|(\s|\\[nr])+([\w-]+: [^\n\\]{0,80}(\n|\\[nr])(\s|\\[nr])*){0,4}"
        r"[A-Za-z0-9+/=]{32,})",
        "-----BEGIN",
    ),
    _define_rule(
        "an OpenAI key",
        r"\bsk-(?P<key>(proj|svcacct|admin|None|or|lf)-[\w-]{20,}|[A-Za-z0-9]{20,})",
        "sk-",
    ),
    _define_rule("an Anthropic key", r"\bsk-ant-(?P<key>[\w-]{20,})", "sk-ant-"),
    _define_rule(
        "an Azure AI key",
        r"(?<![A-Za-z0-9])(?P<key>[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{20,32})(?![A-Za-z0-9])",
        "JQQJ9",
        before=53,
    ),
    _define_rule(
        "an Azure service key",
        rf"(?<![A-Za-z0-9+/_-])(?P<key>{_BASE64}{{76}}(\+ASt|ACDb|\+ABa|\+AMC|APIM){_BASE64}{{5}}[AQgw]=="
        rf"|{_BASE64}{{33}}(\+ASb|\+AEh|\+ARm|AIoT|AzCa)[A-P]{_BASE64}{{5}}="
        rf"|[\w-]{{44}}AzFu[\w-]{{5}}[AQgw]==|{_BASE64}{{42}}(AzSe|\+ACR)[A-D]{_BASE64}{{5}}(?!{_BASE64}))",
        r"A(CDb|PIM|IoT|zCa|zFu|zSe|(?<=\+A)(St|Ba|MC|Sb|Eh|Rm|CR))",
        before=77,
    ),
    _define_rule(
        "an Azure connection string",
        rf"((Account|Access)Key|;Secret)\s?=\s?(?P<key>{_BASE64}{{20,}}={{0,2}})",
        "Acc(ount|ess)Key",
        ";Secret",
    ),
    _define_rule(
        "an Application Insights connection string",
        r"InstrumentationKey=(?P<key>[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})",
        "InstrumentationKey=",
    ),
    _define_rule(
        "a shared access signature",
        r"([?&; ]|\\u0026)sig=(?P<key>[A-Za-z0-9%+/]{20,})",
        "sig=",
        before=6,
    ),
    _define_rule(
        "an Azure AD client secret",
        r"(?<![\w~.-])(?P<key>[\w~.-]{3}[78]Q~[\w~.-]{31,40})(?![\w~-])",
        "Q~",
        before=4,
    ),
    _define_rule(
        "a JSON web token",
        r"\beyJ[A-Za-z0-9_-]{10,}\.(?P<key>eyJ[A-Za-z0-9_-]{10,})\.",
        r"\.eyJ",
        before=MAX_BYTES_AFTER_ANCHOR,
    ),
    _define_rule(
        "a GitHub token",
        r"\b(gh[pousr]_(?=[A-Za-z0-9]{30,})|github_pat_(?=\w{50,}))(?P<key>\w+)",
        "g(h[pousr]_|ithub_pat_)",
    ),
    _define_rule("a GitLab token", r"\bglpat-(?P<key>[\w-]{20,})", "glpat-"),
    _define_rule(
        "a Slack token",
        r"(\bxox[abeoprs]-|\bxapp-\d-|hooks\.slack\.com/services/)(?P<key>[A-Za-z0-9/-]{16,})",
        "xox[abeoprs]-",
        r"xapp-\d",
        r"hooks\.slack\.com/services/",
    ),
    _define_rule(
        "an AWS access key",
        # The id alone is not a secret: match an id with its key, or a key after its name.
        rf"(\b(AKIA|ASIA)[A-Z0-9]{{16}}\b[\s\S]{{1,200}}?|(?i:secret_?access_?key){_ASSIGNMENT})"
        rf"(?<!{_BASE64})(?P<key>{_BASE64}{{40}})(?![A-Za-z0-9+/=])",
        "A[KS]IA[A-Z0-9]{16}",
        "ecret(_a|A)ccess_?[kK]ey",
        "SECRET_ACCESS_KEY",
        before=1,
    ),
    _define_rule("a Google API key", r"\bAIza(?P<key>[\w-]{35})(?![\w-])", "AIza"),
    _define_rule("a Databricks token", r"\bdapi(?P<key>[0-9a-f]{32})\b", "dapi"),
    _define_rule("a Hugging Face token", r"\bhf_(?P<key>[A-Za-z]{34})\b", "hf_"),
    _define_rule("an npm token", r"\bnpm_(?P<key>[A-Za-z0-9]{36})\b", "npm_"),
    _define_rule("a PyPI token", r"\bpypi-AgE(?P<key>[\w-]{50,})", "pypi-AgE"),
    _define_rule(
        "a password in a URL",
        r"://[^/\s:@\"'<>{}$]{0,64}:(?P<key>[^/\s:@\"'<>{}$`]{3,200})@[\w\[]",
        "://",
        genuine=_is_password,
    ),
    _define_rule(
        "a password in a connection string",
        r";\s{0,2}(?i:password|pwd)=(?P<key>[^;\s\"'<>{}$%]{4,200})",
        r";\s{0,2}(?i:password|pwd)=",
        genuine=_is_password,
    ),
    _define_rule(
        "a Docker login",
        rf"\"(auth|identitytoken)\"\s{{0,4}}:\s{{0,4}}\"(?P<key>{_BASE64}{{8,}}={{0,2}})\"",
        '"(auth|identitytoken)"',
        genuine=_is_docker_login,
    ),
]
RULES: dict[str, Rule] = {rule.name: rule for rule in _RULES}
# Older Azure OpenAI and Search keys are just 32 hexadecimal digits, or 52 letters and digits. Many
# other values are, too: this format is evidence only for the whole value of a configuration key.
WHOLE_VALUE_PATTERNS: dict[str, re.Pattern[bytes]] = {
    "a key (32 hexadecimal digits)": re.compile(rb"[0-9a-fA-F]{32}"),
    "a key (52 letters and digits)": re.compile(
        rb"(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9]{52}"
    ),
}


def recognise_secret(text: str) -> str | None:
    """Return the kind of secret that the configuration value `text` looks like, or None."""
    value = text.encode()
    names = (rule.name for rule in _RULES if rule.pattern.search(value))
    return next(names, None) or recognise_whole_value(text)


def recognise_whole_value(text: str) -> str | None:
    """Return the kind of secret whose length and alphabet `text` has, or None."""
    value = text.encode()
    return next(
        (name for name, pattern in WHOLE_VALUE_PATTERNS.items() if pattern.fullmatch(value)), None
    )


def find_secrets(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield each secret in `data`: the name of its rule, its start and its end.

    Placeholders that manuals use in place of a secret are left out.
    """
    for rule in _RULES:
        starts = set()
        for anchor in rule.anchors:
            for hit in anchor.finditer(data):
                match = _match_around(rule, data, hit.start())
                if match and match.start() not in starts:
                    starts.add(match.start())
                    if rule.is_genuine(match["key"]):
                        yield rule.name, match.start(), match.end()


def _match_around(rule: Rule, data: bytes, at: int) -> re.Match[bytes] | None:
    """Return the match of `rule` that contains the byte `at`, where an anchor begins."""
    matches = rule.pattern.finditer(data, max(0, at - rule.before), at + MAX_BYTES_AFTER_ANCHOR)
    return next((match for match in matches if match.start() <= at < match.end()), None)
