"""Escape role names in inputs, so that they are not parsed as headings of messages.

promptflow replaces each role name in the inputs with a token, and restores the names in the final
messages. It searches the whole text once for each spelling of a role, of which there are thousands,
and its tokens are up to nine times as long as the name. Here each text is searched only once,
regardless of its content.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from . import prompts

# Up to this many replacements in C are faster than one with a regular expression.
MAX_REPLACE_CALLS = 16

_NAME = re.compile("(?i)" + "|".join(prompts.ROLES))
# The first and the last character of a token occur only there, so preceding text cannot combine
# with a part of it. Neither `escape` nor `tojson` of Jinja changes a token.
_TOKEN = re.compile("@[0-9a-f]{12};")


def collect_tokens(
    value: Any, tokens: dict[str, str], lists: type[list[Any]], mappings: bool
) -> dict[str, str]:
    """Add a token for each role name in a heading in `value` to `tokens`, and return `tokens`.

    `tokens` maps tokens to names. Lists of the type `lists` are searched, too, and mappings if
    `mappings` is true.
    """
    known = set(tokens.values())

    def search(text: str) -> str:
        for name in prompts.list_heading_roles(text) if ":" in text else ():
            if name not in known:
                known.add(name)
                tokens[f"@{secrets.token_hex(6)};"] = name
        return text

    _map_texts(value, search, lists, mappings)
    return tokens


def escape(value: Any, tokens: Mapping[str, str], lists: type[list[Any]], mappings: bool) -> Any:
    """Return `value` with the role names replaced by their tokens."""
    if not tokens:
        return value
    by_name: dict[str, str] = {}
    for token, name in tokens.items():
        by_name.setdefault(name, token)

    def replace(text: str) -> str:
        if len(by_name) <= MAX_REPLACE_CALLS:
            for name, token in by_name.items():
                text = text.replace(name, token)
            return text
        return _NAME.sub(lambda match: by_name.get(match[0], match[0]), text)

    return _map_texts(value, replace, lists, mappings)


def unescape(value: Any, tokens: Mapping[str, str]) -> Any:
    """Return `value`, a text or the parts of a message, with the tokens replaced by their names."""
    if not tokens:
        return value
    if isinstance(value, str):
        return _TOKEN.sub(lambda match: tokens.get(match[0], match[0]), value)
    if isinstance(value, list):
        for part in value:
            if isinstance(part, dict) and "text" in part:
                part["text"] = unescape(part["text"], tokens)
    return value


def _map_texts(
    value: Any, change: Callable[[str], str], lists: type[list[Any]], mappings: bool
) -> Any:
    """Return `value` with `change` applied to each text; mappings in place, as promptflow does."""
    if isinstance(value, lists):
        return lists([_map_texts(item, change, lists, mappings) for item in value])
    if isinstance(value, str):
        return change(value)
    if mappings and isinstance(value, dict):
        for key, item in value.items():
            value[key] = _map_texts(item, change, lists, mappings)
    return value
