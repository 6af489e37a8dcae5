"""Keep role names in a client's text from being read as headings of messages.

promptflow puts a token in the place of each role name in the inputs, and puts the names back into
the finished messages. It goes through the whole text once for each spelling of a role, of which
there are thousands, and its tokens are up to nine times as long as the name. Here a text is
read once, whatever is in it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from . import prompts

# So many replacements by C are quicker than one by an expression.
FEW = 16

_NAME = re.compile("(?i)" + "|".join(prompts.ROLES))
# Its first and last characters are in it nowhere else, so no text before it can take a part of it.
# Neither Jinja's `escape` nor its `tojson` changes it.
_TOKEN = re.compile("@[0-9a-f]{12};")


def collect(
    value: Any, tokens: dict[str, str], lists: type[list[Any]], mappings: bool
) -> dict[str, str]:
    """Add a token for each role name that heads a message in `value` to `tokens`; return them.

    `lists`, and mappings where `mappings` says so, are searched too. `tokens` maps tokens to names.
    """
    known = set(tokens.values())

    def search(text: str) -> str:
        for name in prompts.headings(text) if ":" in text else ():
            if name not in known:
                known.add(name)
                tokens[f"@{secrets.token_hex(6)};"] = name
        return text

    _each_text(value, search, lists, mappings)
    return tokens


def escape(value: Any, tokens: Mapping[str, str], lists: type[list[Any]], mappings: bool) -> Any:
    """Return `value` with tokens in the place of the names that `tokens` has."""
    if not tokens:
        return value
    by_name: dict[str, str] = {}
    for token, name in tokens.items():
        by_name.setdefault(name, token)

    def replace(text: str) -> str:
        if len(by_name) <= FEW:
            for name, token in by_name.items():
                text = text.replace(name, token)
            return text
        return _NAME.sub(lambda match: by_name.get(match[0], match[0]), text)

    return _each_text(value, replace, lists, mappings)


def unescape(value: Any, tokens: Mapping[str, str]) -> Any:
    """Return `value`, a text or the parts of a message, with the names back in their places."""
    if not tokens:
        return value
    if isinstance(value, str):
        return _TOKEN.sub(lambda match: tokens.get(match[0], match[0]), value)
    if isinstance(value, list):
        for part in value:
            if isinstance(part, dict) and "text" in part:
                part["text"] = unescape(part["text"], tokens)
    return value


def _each_text(
    value: Any, change: Callable[[str], str], lists: type[list[Any]], mappings: bool
) -> Any:
    """Return `value` with each text changed; promptflow changes mappings where they are."""
    if isinstance(value, lists):
        return lists([_each_text(item, change, lists, mappings) for item in value])
    if isinstance(value, str):
        return change(value)
    if mappings and isinstance(value, dict):
        for key, item in value.items():
            value[key] = _each_text(item, change, lists, mappings)
    return value
