"""New lines of a log that exposes only its last lines."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.targets import log_tail


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ("", "ab", "ab"),
        ("abc", "abc", ""),
        ("abc", "abcd", "d"),
        ("abc", "bcde", "de"),
        ("abc", "xyz", "xyz"),
        ("abcdef", "efg", "g"),
        ("abc", "", ""),
        # The window is longer than the first log.
        ("cd", "abcdef", "ef"),
    ],
)
def test_lines_that_are_newer(before: str, now: str, new: str) -> None:
    assert log_tail.new_lines(list(before), list(now)) == list(new)


@settings(max_examples=50)
@given(st.lists(st.integers()), st.lists(st.integers(), max_size=5), st.integers(1, 10))
def test_a_followed_log_of_different_lines_shows_each_once(
    before: list[int], more: list[int], window: int
) -> None:
    numbered = list(enumerate([*before, *more]))
    said = [str(one) for one in numbered[: len(before)]][-window:]
    now = [str(one) for one in numbered][-max(window, len(more) + 1) :]
    assert log_tail.new_lines(said, now) == [str(one) for one in numbered[len(before) :]]


def test_the_last_lines_without_following() -> None:
    assert list(log_tail.stream_lines(lambda count: ["a", "b", "c"], 2, False, 0)) == ["b", "c"]


def test_secrets_and_credentials_are_masked_in_lines() -> None:
    spec: Any = SimpleNamespace(secrets=frozenset({"TOKEN"}), variables={"TOKEN": "s3cret"})
    lines = log_tail.mask_secrets(spec, ["a s3cret", "key k-1"], {"Authorization": "Bearer k-1"})
    assert lines == ["a ***", "key ***"]
