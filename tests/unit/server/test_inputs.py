"""Bodies of requests, good and bad: each mistake names the input."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.server.inputs import read
from deploy.server.scorer import BadInput, Field

FIELDS = {
    "question": Field("string"),
    "limit": Field("integer", required=False, default=3),
    "history": Field("array", required=False, default=[]),
}


def test_good_body() -> None:
    body = b'{"question": "why?", "limit": 2, "unknown": 1}'
    assert read(body, FIELDS) == {"question": "why?", "limit": 2}


@pytest.mark.parametrize(
    ("body", "code", "message", "inputs"),
    [
        (
            b"",
            "EmptyBody",
            "the body is empty; send a JSON object with the inputs: question, limit, history",
            ["question", "limit", "history"],
        ),
        (
            b'{"question": ',
            "NotJson",
            "the body is not JSON (Expecting value: line 1, column 14); send a JSON object with the "
            "inputs: question, limit, history",
            ["question", "limit", "history"],
        ),
        (
            b'{"question": "\xff"}',
            "NotUtf8",
            "the body is not UTF-8; send a JSON object with the inputs: question, limit, history",
            ["question", "limit", "history"],
        ),
        (
            b"[1]",
            "NotAnObject",
            "the body is a JSON array; send a JSON object with the inputs: question, limit, history",
            ["question", "limit", "history"],
        ),
        (
            b"null",
            "NotAnObject",
            "the body is a JSON null; send a JSON object with the inputs: question, limit, history",
            ["question", "limit", "history"],
        ),
        (b'{"limit": 1}', "MissingInput", "missing input: question", ["question"]),
        (
            b'{"question": null}',
            "WrongType",
            "input question: string expected, not null",
            ["question"],
        ),
        (
            b'{"question": ["a"], "limit": "many"}',
            "WrongType",
            "input question: string expected, not array; input limit: integer expected, not string",
            ["question", "limit"],
        ),
    ],
)
def test_bad_body(body: bytes, code: str, message: str, inputs: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        read(body, FIELDS)
    assert (caught.value.code, caught.value.message, caught.value.inputs) == (code, message, inputs)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_json_does_not_have(constant: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(f'{{"question": {constant}}}'.encode(), FIELDS)
    assert f"{constant} is not a number" in caught.value.message


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"question": ' + b"9" * 5000 + b"}"]
)
def test_bodies_that_would_break_a_parser_are_the_clients_mistake(body: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        read(body, FIELDS)
    assert caught.value.code == "NotJson"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", ["a", ""], [None, [], {}, True]),
        ("integer", [1, 0, -1, 2.0, "3", 10**400], [1.5, "x", None, [], True]),
        ("number", [1, 1.5, "2.5"], ["x", None, [], {}, False]),
        ("boolean", [True, False, "true", "False"], [1, "yes", None, []]),
        ("array", [[], [1], "[1, 2]"], ["x", "{}", None, 1, {}]),
        ("object", [{}, {"a": 1}, [], "text"], [None]),
        ("any", [None, 1, "a"], []),
    ],
)
def test_types(kind: str, good: list[Any], bad: list[Any]) -> None:
    fields = {"it": Field(kind)}
    for value in good:
        assert read(json.dumps({"it": value}).encode(), fields) == {"it": value}
    for value in bad:
        with pytest.raises(BadInput):
            read(json.dumps({"it": value}).encode(), fields)


@pytest.mark.parametrize(("given", "taken"), [(1, "1"), (1.5, "1.5")])
def test_numbers_for_strings_are_converted(given: float, taken: str) -> None:
    assert read(json.dumps({"it": given}).encode(), {"it": Field("string")}) == {"it": taken}


@pytest.mark.parametrize(
    "body",
    [
        rb'{"question": "\ud800"}',
        b'{"question": "\xed\xa0\x80"}',
        '{"question": "a"}'.encode("utf-16"),
    ],
)
def test_invalid_text_is_a_client_error(body: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        read(body, FIELDS)
    assert caught.value.code == "NotUtf8"


def test_a_number_beyond_all_limits() -> None:
    with pytest.raises(BadInput) as caught:
        read(b'{"question": 1e999}', FIELDS)
    assert "1e999 is not a number" in caught.value.message


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert read(rb'{"question": "\ud83d\ude00"}', FIELDS) == {"question": "😀"}


def test_null_selects_the_default() -> None:
    assert read(b'{"question": "a", "limit": null}', FIELDS) == {"question": "a", "limit": None}


def test_a_flow_without_inputs_reads_no_body() -> None:
    assert read(b"anything", {}) == {}
