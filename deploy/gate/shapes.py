"""Recognise a secret by its shape: in configuration, and in everything that an image holds."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# How far behind its anchor a secret is looked for: a connection string, or an AWS pair, in a line.
AFTER = 600
# A key with fewer different characters, or with one of these words, is made up for a manual.
LEAST_DIFFERENT = 8
MADE_UP = re.compile(rb"example|your[-_]|xxxx|[.*]{3}|[<>{}]", re.IGNORECASE)
# What manuals write in the place of a password, and parsers of URLs in their tests.
NO_PASSWORDS = re.compile(
    rb"(my|your|the|user|db|a|some|proxy)?[-_]?(pass(w|word|wd)?|pwd?|pswd|secret|token|key|x)\d?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Rule:
    """One kind of secret.

    `pattern` matches it, and its group `key` is the part that must not be known. Every match has
    one of `anchors` in it, at most `before` bytes from its start. Those begin with a literal, for
    which `re` looks twenty times faster than for a choice. `genuine` tells a match from what merely
    has the shape.
    """

    name: str
    pattern: re.Pattern[bytes]
    anchors: tuple[re.Pattern[bytes], ...]
    before: int
    genuine: Callable[[bytes], bool]


def _is_key(key: bytes) -> bool:
    return len(set(key)) >= LEAST_DIFFERENT and not MADE_UP.search(key)


def _is_password(key: bytes) -> bool:
    return not NO_PASSWORDS.fullmatch(key) and not MADE_UP.search(key)


def _is_login(key: bytes) -> bool:
    """Tell whether `key` is a user and a password in base64, as Docker writes them down."""
    try:
        return b":" in base64.b64decode(key, validate=True) and _is_key(key)
    except binascii.Error:
        return False


def _rule(
    name: str,
    pattern: str,
    *anchors: str,
    before: int = 0,
    genuine: Callable[[bytes], bool] = _is_key,
) -> Rule:
    found = tuple(re.compile(anchor.encode()) for anchor in anchors)
    return Rule(name, re.compile(pattern.encode()), found, before, genuine)


# What may stand between a name and its value: `=`, `: "`, `": "`, and the like.
_IS = r"[\"']?\s{0,3}[=:]\s{0,3}[\"']?"
_B64 = r"[A-Za-z0-9+/]"
# The shapes are published: those of Microsoft's keys, which have a signature in them for scanners,
# at github.com/microsoft/security-utilities; the rest on each vendor's own pages.
_RULES = [
    _rule(
        "a private key",
        r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY( BLOCK)?-----"
        # Programs that read keys have the first line alone; a key goes on (RFC 7468, RFC 1421).
        r"(?P<key>\Z|(\s|\\[nr])+([\w-]+: [^\n\\]{0,80}(\n|\\[nr])(\s|\\[nr])*){0,4}"
        r"[A-Za-z0-9+/=]{32,})",
        "-----BEGIN",
    ),
    _rule(
        "an OpenAI key",
        r"\bsk-(?P<key>(proj|svcacct|admin|None|or|lf)-[\w-]{20,}|[A-Za-z0-9]{20,})",
        "sk-",
    ),
    _rule("an Anthropic key", r"\bsk-ant-(?P<key>[\w-]{20,})", "sk-ant-"),
    _rule(
        "an Azure AI key",
        r"(?<![A-Za-z0-9])(?P<key>[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{20,32})(?![A-Za-z0-9])",
        "JQQJ9",
        before=53,
    ),
    _rule(
        "an Azure service key",
        rf"(?<![A-Za-z0-9+/_-])(?P<key>{_B64}{{76}}(\+ASt|ACDb|\+ABa|\+AMC|APIM){_B64}{{5}}[AQgw]=="
        rf"|{_B64}{{33}}(\+ASb|\+AEh|\+ARm|AIoT|AzCa)[A-P]{_B64}{{5}}="
        rf"|[\w-]{{44}}AzFu[\w-]{{5}}[AQgw]==|{_B64}{{42}}(AzSe|\+ACR)[A-D]{_B64}{{5}}(?!{_B64}))",
        r"A(CDb|PIM|IoT|zCa|zFu|zSe|(?<=\+A)(St|Ba|MC|Sb|Eh|Rm|CR))",
        before=77,
    ),
    _rule(
        "an Azure connection string",
        rf"((Account|Access)Key|;Secret)\s?=\s?(?P<key>{_B64}{{20,}}={{0,2}})",
        "Acc(ount|ess)Key",
        ";Secret",
    ),
    _rule(
        "an Application Insights connection string",
        r"InstrumentationKey=(?P<key>[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})",
        "InstrumentationKey=",
    ),
    _rule(
        "a shared access signature",
        r"([?&; ]|\\u0026)sig=(?P<key>[A-Za-z0-9%+/]{20,})",
        "sig=",
        before=6,
    ),
    _rule(
        "an Azure AD client secret",
        r"(?<![\w~.-])(?P<key>[\w~.-]{3}[78]Q~[\w~.-]{31,40})(?![\w~-])",
        "Q~",
        before=4,
    ),
    _rule(
        "a JSON web token",
        r"\beyJ[A-Za-z0-9_-]{10,}\.(?P<key>eyJ[A-Za-z0-9_-]{10,})\.",
        r"\.eyJ",
        before=AFTER,
    ),
    _rule(
        "a GitHub token",
        r"\b(gh[pousr]_(?=[A-Za-z0-9]{30,})|github_pat_(?=\w{50,}))(?P<key>\w+)",
        "g(h[pousr]_|ithub_pat_)",
    ),
    _rule("a GitLab token", r"\bglpat-(?P<key>[\w-]{20,})", "glpat-"),
    _rule(
        "a Slack token",
        r"(\bxox[abeoprs]-|\bxapp-\d-|hooks\.slack\.com/services/)(?P<key>[A-Za-z0-9/-]{16,})",
        "xox[abeoprs]-",
        r"xapp-\d",
        r"hooks\.slack\.com/services/",
    ),
    _rule(
        "an AWS access key",
        # The id alone is no secret: it and its key, or a key by its name.
        rf"(\b(AKIA|ASIA)[A-Z0-9]{{16}}\b[\s\S]{{1,200}}?|(?i:secret_?access_?key){_IS})"
        rf"(?<!{_B64})(?P<key>{_B64}{{40}})(?![A-Za-z0-9+/=])",
        "A[KS]IA[A-Z0-9]{16}",
        "ecret(_a|A)ccess_?[kK]ey",
        "SECRET_ACCESS_KEY",
        before=1,
    ),
    _rule("a Google API key", r"\bAIza(?P<key>[\w-]{35})(?![\w-])", "AIza"),
    _rule("a Databricks token", r"\bdapi(?P<key>[0-9a-f]{32})\b", "dapi"),
    _rule("a Hugging Face token", r"\bhf_(?P<key>[A-Za-z]{34})\b", "hf_"),
    _rule("an npm token", r"\bnpm_(?P<key>[A-Za-z0-9]{36})\b", "npm_"),
    _rule("a PyPI token", r"\bpypi-AgE(?P<key>[\w-]{50,})", "pypi-AgE"),
    _rule(
        "a password in a URL",
        r"://[^/\s:@\"'<>{}$]{0,64}:(?P<key>[^/\s:@\"'<>{}$`]{3,200})@[\w\[]",
        "://",
        genuine=_is_password,
    ),
    _rule(
        "a password in a connection string",
        r";\s{0,2}(?i:password|pwd)=(?P<key>[^;\s\"'<>{}$%]{4,200})",
        r";\s{0,2}(?i:password|pwd)=",
        genuine=_is_password,
    ),
    _rule(
        "a Docker login",
        rf"\"(auth|identitytoken)\"\s{{0,4}}:\s{{0,4}}\"(?P<key>{_B64}{{8,}}={{0,2}})\"",
        '"(auth|identitytoken)"',
        genuine=_is_login,
    ),
]
RULES: dict[str, Rule] = {rule.name: rule for rule in _RULES}
# Older Azure OpenAI and Search keys are just 32 hexadecimal digits, or 52 letters and digits. So
# are many other things: only of a whole value of configuration does the shape say enough.
WHOLE: dict[str, re.Pattern[bytes]] = {
    "a key (32 hexadecimal digits)": re.compile(rb"[0-9a-fA-F]{32}"),
    "a key (52 letters and digits)": re.compile(
        rb"(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9]{52}"
    ),
}


def recognise(text: str) -> str | None:
    """Return what kind of secret the value `text` of configuration looks like, or None."""
    value = text.encode()
    found = (rule.name for rule in _RULES if rule.pattern.search(value))
    return next(found, None) or recognise_whole(text)


def recognise_whole(text: str) -> str | None:
    """Return what kind of secret `text` is, if nothing but its length and letters tell."""
    value = text.encode()
    return next((name for name, shape in WHOLE.items() if shape.fullmatch(value)), None)


def find(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield each secret in `data`: the name of its rule, where it starts and where it ends.

    What manuals show in a secret's place is left out.
    """
    for rule in _RULES:
        seen = set()
        for anchor in rule.anchors:
            for hit in anchor.finditer(data):
                match = _around(rule, data, hit.start())
                if match and match.start() not in seen:
                    seen.add(match.start())
                    if rule.genuine(match["key"]):
                        yield rule.name, match.start(), match.end()


def _around(rule: Rule, data: bytes, at: int) -> re.Match[bytes] | None:
    """Return the match of `rule` that holds the byte `at`, where one of its anchors is."""
    matches = rule.pattern.finditer(data, max(0, at - rule.before), at + AFTER)
    return next((match for match in matches if match.start() <= at < match.end()), None)
