"""Rendered prompts are read as promptflow reads them, in time that grows with their length."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.server.promptflow import prompts, roles

# promptflow-tools 1.6.1, tools/common.py, and promptflow-core 1.18.5, core/_prompty_utils.py.
SEPARATOR = r"(?i)^\s*#?\s*(system|user|assistant|function|tool)\s*:\s*\n"
LABELLED = r"\n*#{0,2}\s*%s\s*:\s*\n+\s*(\S+)\s*\n*#{0,2}\s*content\s*:\s*\n?(.*)"
TOOL_CALLS = r"\n*#{0,2}\s*tool_calls\s*:\s*\n+\s*(\[.*?\])"
# promptflow-tools 1.6.1, tools/open_model_llm.py.
ANYWHERE = r"(?i)\n*(system|user|assistant)\s*:\s*\n"

# Few, so that they meet; and short, since promptflow's expressions are cubic.
PIECES = (
    *("\n", " ", "\t", "\r\n", "\x85", "\xa0", "#", ":", "x", "[", "]", "[1]"),
    *("user", "User", "system", "\u017fystem", "tool", "function", "assistant"),
    *("name", "content", "tool_call_id", "tool_calls"),
    *("user:\n", "\n\n", "name:\n", "content:", "tool_calls:\n[", "\n#user :\n"),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
CORPUS = (
    "system:\nYou help.\nuser:\nHello?\n",
    "# system:\n\n\n# user :\n\nassistant:\n",
    "##user:\n#\n#user:\nthe user: me\n user:\n",
    "xuser:\n\n\n  user:\nuser:user:\n",
    "\u017fystem:\nUSER:\r\n",
    "## name:\n search\n## content:\n\n found it\n",
    "name:\nsearchcontent:x\n content : y",
    "name:\ncontent:\nname:\nx##content :y",
    "tool_call_id:\n\n call_1\ncontent: {}",
    "tool_calls:\n[{'id': [1]}] \n",
)


def corpus(test: Callable[[str], None]) -> Callable[[str], None]:
    for text in CORPUS:
        test = example(text)(test)
    return settings(max_examples=2000, deadline=None)(given(TEXTS)(test))


@corpus
def test_prompts_are_split_as_promptflow_splits_them(text: str) -> None:
    assert prompts.split_messages(text) == re.split(SEPARATOR, text, flags=re.MULTILINE)
    assert prompts.list_heading_roles(text) == re.findall(SEPARATOR, text, flags=re.MULTILINE)
    assert prompts.split_anywhere(text, prompts.ROLES[:3]) == re.split(ANYWHERE, text)


@corpus
def test_labels_are_read_as_promptflow_reads_them(text: str) -> None:
    for label in ("name", "tool_call_id"):
        match = re.search(LABELLED % label, text, re.DOTALL)
        assert prompts.parse_labels(text, label) == (match.groups() if match else None)
    for at_end in (False, True):
        match = re.search(TOOL_CALLS + (r"\s*$" if at_end else ""), text, re.DOTALL)
        assert prompts.extract_tool_calls(text, at_end) == (match[1] if match else None)


def test_the_separator_is_promptflows() -> None:
    assert prompts.separator() == SEPARATOR


@corpus
def test_names_of_roles_come_back(text: str) -> None:
    tokens = roles.collect_tokens({"a": [text]}, {}, list, True)
    assert set(tokens.values()) == set(prompts.list_heading_roles(text))
    escaped = roles.escape({"a": [text]}, tokens, list, True)["a"][0]
    assert not set(prompts.list_heading_roles(escaped)) & set(tokens.values())
    assert roles.unescape(escaped, tokens) == text
    assert roles.unescape([{"text": escaped}], tokens) == [{"text": text}]


def test_names_in_every_spelling_come_back() -> None:
    text = "".join(f"{'system'[:n].upper()}{'system'[n:]}:\n" for n in range(7))
    text += "".join(f"{'user'[:n].upper()}{'user'[n:]}:\n" for n in range(5))
    text += "".join(f"{'assistant'[:n].upper()}{'assistant'[n:]}:\n" for n in range(10))
    tokens = roles.collect_tokens(text, {}, list, False)
    assert len(tokens) > roles.MAX_REPLACE_CALLS
    assert roles.unescape(roles.escape(text, tokens, list, False), tokens) == text


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "piece",
    ["\n", " ", "#\n", "user", "user:", "user\n", "name:", "name:\n", "content", "tool_calls:\n["],
)
@pytest.mark.parametrize("start", ["", "user:", "name:\nx", "name:", "tool_calls:"])
def test_a_megabyte_takes_no_time(piece: str, start: str) -> None:
    # Of promptflow's expressions, a thousandth of it takes seconds: the test would not end.
    text = start + piece * (MEGABYTE // len(piece))
    prompts.split_messages(text)
    prompts.parse_labels(text, "name")
    prompts.extract_tool_calls(text, False)
    prompts.extract_tool_calls(text + "]", True)
    assert roles.unescape(roles.escape(text, {"@0123456789ab;": "user"}, list, False), {}) != ""
