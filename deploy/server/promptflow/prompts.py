"""Parse the roles and labels of a rendered prompt in linear time.

promptflow's regular expressions try every way to divide a run of white space among several `\\s*`:
that is cubic in blank lines, and `re` blocks all other threads meanwhile. These functions return
the same results (tests/unit/server/test_prompts.py compares them with promptflow's expressions). No
expression here has two adjacent parts that match the same characters.
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
    """Return promptflow's expression for the heading of a message, for use with `re.MULTILINE`."""
    return r"(?i)^\s*#?\s*(" + "|".join(roles) + r")\s*:\s*\n"


def split_messages(text: str, roles: Sequence[str] = ROLES) -> list[str]:
    """Return the result of `re.split` with `separator(roles)`: text, role, text, role, …, text."""
    parts, end = [], 0
    for start, stop, role in _headings(text, tuple(roles)):
        parts += [text[end:start], role]
        end = stop
    return [*parts, text[end:]]


def list_heading_roles(text: str) -> list[str]:
    """Return the roles of the headings in `text`, as they are spelled."""
    return [role for _, _, role in _headings(text, ROLES)]


def split_anywhere(text: str, roles: Sequence[str]) -> list[str]:
    r"""Return the result of `re.split` with `(?i)\n*(roles)\s*:\s*\n`: a role can end any line."""
    parts, end = [], 0
    for start, stop, role in _find_role_lines(text, tuple(roles)):
        parts += [text[end:start].rstrip("\n"), role]
        end = stop
    return [*parts, text[end:]]


def parse_labels(text: str, label: str) -> tuple[str, str] | None:
    """Return the values of `label` and of `content` in `text`, or None.

    Each value follows its label and a colon. The value of `label` is one word on its own line.
    """
    for match in _label(label).finditer(text):
        space = _match_end(_SPACE, text, match.end())
        if "\n" not in text[match.end() : space]:
            continue
        word = _WORD.match(text, space)
        if word is None:
            return None
        after = _CONTENT_NEXT.match(text, word.end())
        if after:
            return word[0], after[1]
        # The word itself may contain the second label: "name:\nsearchcontent: …".
        colon = _match_end(_SPACE, text, word.end()) + 1
        inside = [m.start() for m in _CONTENT_LABEL.finditer(text, space + 1, colon)]
        if inside and inside[-1] < word.end():
            rest = _CONTENT.match(text, inside[-1])
            return text[space : inside[-1]], rest[1] if rest else ""
    return None


def extract_tool_calls(text: str, at_end: bool) -> str | None:
    """Return the text of the list in brackets after the label `tool_calls`, or None.

    The list ends at the first closing bracket; with `at_end`, at a bracket at the end of `text`.
    """
    last = len(text.rstrip()) - 1
    if at_end and (last < 0 or text[last] != "]"):
        return None
    for match in _label("tool_calls").finditer(text):
        start = _match_end(_SPACE, text, match.end())
        if "\n" not in text[match.end() : start] or text[start : start + 1] != "[":
            continue
        end = last if at_end else text.find("]", start)
        # Without a closing bracket here, there is none after a later label either.
        return text[start : end + 1] if end > start else None
    return None


@functools.lru_cache(maxsize=8)
def _role_at_end(roles: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("(?i)(?:" + "|".join(roles) + r")\Z")


def _role_length(tail: str, roles: tuple[str, ...]) -> int:
    """Return how many characters at the end of `tail` are a role; 0 if it does not end with one."""
    if tail.isascii():
        lower = tail.lower()
        if lower.endswith(roles):
            for role in roles:
                if lower.endswith(role):
                    return len(role)
        return 0
    # `re` also matches a few other letters as "s" or "i".
    match = _role_at_end(roles).search(tail)
    return len(match[0]) if match else 0


@functools.lru_cache(maxsize=8)
def _label(label: str) -> re.Pattern[str]:
    return re.compile(label + r"\s*:")


def _match_end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def _find_role_lines(text: str, roles: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """Return start, end and spelling of each role before a colon at the end of a line.

    The search is for the colons, because C finds a single character fast.
    """
    role_lines = []
    floor = 0
    for colon in _COLON.finditer(text):
        at = end = colon.start()
        if text[at - 1 : at].isspace():
            end = floor + len(text[floor:at].rstrip())
        length = _role_length(text[max(floor, end - LONGEST_ROLE) : end], roles)
        if length:
            role_lines.append((end - length, colon.end(), text[end - length : end]))
        # The white space after a colon may belong to the next heading.
        floor = at + 1
    return role_lines


def _headings(text: str, roles: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """Return start, end and role of each heading: a role alone on a line, optionally after a `#`.

    The heading includes the white space around it, back to the first line with only white space.
    """
    headings = []
    # The earliest start of the current heading.
    floor = 0
    for at, end, role in _find_role_lines(text, roles):
        before = text[floor:at].rstrip()
        if before.endswith("#"):
            before = before[:-1].rstrip()
        start = floor + len(before)
        if start and text[start - 1] != "\n":
            start = text.find("\n", start, at) + 1
            if not start:
                # Not a heading, but the white space after its colon may belong to the next one.
                floor = at + len(role)
                continue
        headings.append((start, end, role))
        floor = end
    return headings
