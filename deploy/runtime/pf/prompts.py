"""Read the roles and labels of a rendered prompt in time that grows with its length alone.

promptflow does it by regular expressions that try every way to divide a run of white space among
several `\\s*`: cubic in blank lines, and `re` lets no other thread run meanwhile. These functions
give the same results (tests/unit/test_prompts.py compares them with promptflow's expressions).
None of the expressions here has two neighbouring parts that match the same characters.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

ROLES = ("system", "user", "assistant", "function", "tool")
LONGEST_ROLE = max(map(len, ROLES))

_SPACE = re.compile(r"\s*")
_COLON = re.compile(r":\s*\n")
_WORD = re.compile(r"\S+")
_CONTENT_LABEL = re.compile(r"content\s*:")
_CONTENT = re.compile(r"content\s*:\s*(.*)", re.DOTALL)
_CONTENT_NEXT = re.compile(r"\s*(?:#{1,2}\s*)?content\s*:\s*(.*)", re.DOTALL)


def separator(roles: Sequence[str] = ROLES) -> str:
    """Return promptflow's own expression for the heading of a message, for `re.MULTILINE`."""
    return r"(?i)^\s*#?\s*(" + "|".join(roles) + r")\s*:\s*\n"


def split(text: str, roles: Sequence[str] = ROLES) -> list[str]:
    """Return what `re.split` does with `separator(roles)`: text, role, text, role, …, text."""
    parts, end = [], 0
    for start, stop, role in _headings(text, tuple(roles)):
        parts += [text[end:start], role]
        end = stop
    return [*parts, text[end:]]


def headings(text: str) -> list[str]:
    """Return the roles, as they are spelled, of the headings in `text`."""
    return [role for _, _, role in _headings(text, ROLES)]


def split_anywhere(text: str, roles: Sequence[str]) -> list[str]:
    r"""Return what `re.split` does with `(?i)\n*(roles)\s*:\s*\n`: a role may end any line."""
    parts, end = [], 0
    for start, stop, role in _candidates(text, tuple(roles)):
        parts += [text[end:start].rstrip("\n"), role]
        end = stop
    return [*parts, text[end:]]


def labelled(text: str, label: str) -> tuple[str, str] | None:
    """Return the values of `label` and of `content` in `text`, or None.

    They follow their labels after a colon; that of `label` is one word on a line of its own.
    """
    for match in _label(label).finditer(text):
        space = _end(_SPACE, text, match.end())
        if "\n" not in text[match.end() : space]:
            continue
        word = _WORD.match(text, space)
        if word is None:
            return None
        after = _CONTENT_NEXT.match(text, word.end())
        if after:
            return word[0], after[1]
        # The word may hold the second label itself: "name:\nsearchcontent: …".
        colon = _end(_SPACE, text, word.end()) + 1
        inside = [m.start() for m in _CONTENT_LABEL.finditer(text, space + 1, colon)]
        if inside and inside[-1] < word.end():
            rest = _CONTENT.match(text, inside[-1])
            return text[space : inside[-1]], rest[1] if rest else ""
    return None


def tool_calls(text: str, at_end: bool) -> str | None:
    """Return the list in brackets after the label `tool_calls`, as it is written, or None.

    It ends at the first closing bracket; with `at_end`, at one that nothing follows.
    """
    last = len(text.rstrip()) - 1
    if at_end and (last < 0 or text[last] != "]"):
        return None
    for match in _label("tool_calls").finditer(text):
        start = _end(_SPACE, text, match.end())
        if "\n" not in text[match.end() : start] or text[start : start + 1] != "[":
            continue
        end = last if at_end else text.find("]", start)
        # What follows has no closing bracket either.
        return text[start : end + 1] if end > start else None
    return None


@functools.lru_cache(maxsize=8)
def _role_at_end(roles: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("(?i)(?:" + "|".join(roles) + r")\Z")


def _length_of_role(tail: str, roles: tuple[str, ...]) -> int:
    """Return how many characters at the end of `tail` are a role; 0 where it ends otherwise."""
    if tail.isascii():
        lower = tail.lower()
        if lower.endswith(roles):
            for role in roles:
                if lower.endswith(role):
                    return len(role)
        return 0
    # `re` takes a few other letters for "s" or "i".
    match = _role_at_end(roles).search(tail)
    return len(match[0]) if match else 0


@functools.lru_cache(maxsize=8)
def _label(label: str) -> re.Pattern[str]:
    return re.compile(label + r"\s*:")


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def _candidates(text: str, roles: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """Return start and end of each role before a colon at the end of a line, and its spelling.

    They are searched for by their colons: C finds a single character at once.
    """
    found = []
    floor = 0
    for colon in _COLON.finditer(text):
        at = end = colon.start()
        if text[at - 1 : at].isspace():
            end = floor + len(text[floor:at].rstrip())
        length = _length_of_role(text[max(floor, end - LONGEST_ROLE) : end], roles)
        if length:
            found.append((end - length, colon.end(), text[end - length : end]))
        # White space after a colon may belong to the next heading.
        floor = at + 1
    return found


def _headings(text: str, roles: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """Return start, end and role of each heading: a role alone on a line, perhaps after a `#`.

    White space around it belongs to it, back to the first line that holds nothing else.
    """
    found = []
    # Where the heading at hand can begin at the earliest.
    floor = 0
    for at, end, role in _candidates(text, roles):
        before = text[floor:at].rstrip()
        if before.endswith("#"):
            before = before[:-1].rstrip()
        start = floor + len(before)
        if start and text[start - 1] != "\n":
            start = text.find("\n", start, at) + 1
            if not start:
                # No heading, but the white space after its colon may belong to the next one.
                floor = at + len(role)
                continue
        found.append((start, end, role))
        floor = end
    return found
