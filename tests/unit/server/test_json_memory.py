"""The memory that JSON takes is estimated, and no shape of it takes more."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.server import json_memory
from deploy.server.json_memory import JsonMemory, estimate_structure

SIZE = 300_000
# What Python takes for any text or list, however short.
SMALLEST = 4000


def items(item: str) -> bytes:
    count = SIZE // (len(item.encode()) + 1)
    return f"[{','.join([item] * count)}]".encode()


def numbered(item: Callable[[int], str], opening: str, closing: str) -> bytes:
    count = SIZE // len(item(10_000))
    return (opening + ",".join(map(item, range(count))) + closing).encode()


SHAPES = {
    "empty objects": items("{}"),
    "empty lists": items("[]"),
    "objects of one": items('{"a":1}'),
    "objects of five": items('{"a":1,"b":2,"c":3,"d":4,"e":5}'),
    "objects of six": items('{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}'),
    "objects in objects": items('{"a":{}}'),
    "lists in lists": items("[[]]"),
    "lists of one": items("[1]"),
    "deep lists": items("[" * 500 + "]" * 500),
    "deep objects": items('{"a":' * 300 + "1" + "}" * 300),
    "numbers": items("300"),
    "fractions": items("1.5"),
    "long numbers": items("1" * 30),
    "short texts": items('"ab"'),
    "short texts, 2 bytes a character": items('"语言"'),
    "short texts, 4 bytes a character": items('"a😀"'),
    "keys, each another": numbered(lambda n: f'"{n:x}":1', "{", "}"),
    "keys, each another, with objects": numbered(lambda n: f'"{n}":{{}}', "{", "}"),
    "objects, each with another key": numbered(lambda n: f'{{"{n:x}":0}}', "[", "]"),
    "a long text": f'"{"x" * SIZE}"'.encode(),
    "a long text, 1 character of 2 bytes": f'"{"x" * SIZE}语"'.encode(),
    "a long text, 1 character of 4 bytes": f'"{"x" * SIZE}😀"'.encode(),
    "a long text, 1 escape of 2 bytes": f'"{"x" * SIZE}\\u8bed"'.encode(),
    "a long text, 1 escape of 4 bytes": f'"{"x" * SIZE}\\ud83d\\ude00"'.encode(),
    "line breaks": json.dumps("x\n" * (SIZE // 3)).encode(),
}


def estimate(body: bytes) -> JsonMemory:
    parts = (body[begin : begin + 1000] for begin in range(0, len(body), 1000))
    return json_memory.estimate_memory(body, sum(map(estimate_structure, parts)))


def taken(body: bytes) -> JsonMemory:
    """Return what parsing `body` took."""
    tracemalloc.start()
    try:
        text = body.decode()
        value = json.loads(text)
        _, most = tracemalloc.get_traced_memory()
        del text
        kept, _ = tracemalloc.get_traced_memory()
        del value
        return JsonMemory(most + len(body), kept)
    finally:
        tracemalloc.stop()


def holds(body: bytes) -> bool:
    """Return whether what is estimated for `body` is enough.

    Other threads of the test process allocate as well, which is counted too: one measurement of
    several without them will do.
    """
    estimated = estimate(body)
    return any(
        all(more + SMALLEST >= less for more, less in zip(estimated, taken(body), strict=True))
        for _ in range(5)
    )


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES.keys())
def test_no_json_takes_more_than_estimated(body: bytes) -> None:
    assert holds(body), f"{estimate(body)} {taken(body)}"


@pytest.mark.parametrize(
    "text",
    ["", "why?", "The quick brown fox, who jumps: over it. " * 1000, "Übergrößen; " * 1000],
)
def test_a_question_is_not_taken_for_much_more_than_it_is(text: str) -> None:
    body = json.dumps({"question": text}, ensure_ascii=False).encode()
    assert estimate(body).peak < 8 * len(body) + SMALLEST


def test_a_list_that_is_hidden_in_a_text_counts() -> None:
    hidden = "".join(f"\\u{ord(sign):04x}" for sign in "[" + "[]," * 10_000 + "[]]")
    body = f'{{"history": "{hidden}"}}'.encode()
    values = json.loads(json.loads(body)["history"])
    assert len(values) == 10_001
    assert estimate(body).retained > 10_000 * 65


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=JSON, ascii_only=st.booleans())
def test_no_request_takes_more_than_estimated(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
    # Many of them: of one, what a single list takes would hide the rest.
    body = f"[{','.join([text] * 200)}]".encode("utf-8", "replace")
    assert holds(body)
