"""Run in an image: chunks made from a pattern are the SDK's own, field by field."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "more": {"cached": 0}}
FILTERED = {"hate": {"filtered": False, "severity": "safe"}}
CALL = {"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": ""}}
TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97]}
BASE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}


def chunk(delta: Any, reason: Any = None, **more: Any) -> dict[str, Any]:
    return {**BASE, "choices": [{"index": 0, "delta": delta, "finish_reason": reason, **more}]}


CASES: list[Any] = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "The "}),
    chunk({"content": "printer "}),
    {**chunk({"content": "ü"}), "id": "other", "created": 7, "obfuscation": "abc"},
    {**chunk({"content": "x"}), "system_fingerprint": None, "usage": None, "service_tier": "a"},
    chunk({}, "stop", content_filter_results=FILTERED, logprobs=None),
    chunk({"content": None, "refusal": None, "tool_calls": [CALL]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
    chunk({"content": "a"}, logprobs={"content": [{**TOKEN, "top_logprobs": [TOKEN]}]}),
    chunk({"content": "a"}, "a reason that nobody knows"),
    {**BASE, "choices": [], "usage": USAGE},
    {**BASE, "choices": [], "prompt_filter_results": [{"content_filter_results": FILTERED}]},
    # What no service sends.
    chunk("no object"),
    {**BASE, "choices": {"a": 1}},
    {**BASE, "choices": None, "created": "5", "model": {"a": [1.5, True]}},
    {"schema": "x", "copy": 1, "model_config": {}},
    {},
    [1],
    "text",
]


def main() -> None:
    """Compare all cases, each more than once. Raises `AssertionError`."""
    openai = import_module("openai")
    kind = import_module("openai.types.chat").ChatCompletionChunk
    client = openai.OpenAI(api_key="x")
    patterns: dict[Any, Any] = {}
    quick = import_module("flow_server.fast_client.chunks").ChunkFactory(client, patterns)
    for case in CASES * 3:
        theirs, ours = (_made(each, case, kind) for each in (client, quick))
        _same(theirs, ours)
        # What a flow does to a chunk is seen in no other.
        if isinstance(getattr(ours, "choices", None), list) and ours.choices:
            ours.choices[0].finish_reason = "changed"
            ours.choices.clear()
    assert len(patterns) > 10


def _made(client: Any, case: Any, kind: Any) -> Any:
    data = json.loads(json.dumps(case))
    try:
        return client._process_response_data(data=data, cast_to=kind, response=None)
    except Exception as error:
        return repr(error)


def _same(theirs: Any, ours: Any) -> None:
    assert type(theirs) is type(ours), (theirs, ours)
    if hasattr(theirs, "__pydantic_fields_set__"):
        assert theirs.__pydantic_fields_set__ == ours.__pydantic_fields_set__
        _same(theirs.__dict__, ours.__dict__)
        _same(theirs.__pydantic_extra__, ours.__pydantic_extra__)
    elif isinstance(theirs, dict):
        assert list(theirs) == list(ours)
        _same(list(theirs.values()), list(ours.values()))
    elif isinstance(theirs, list):
        assert len(theirs) == len(ours)
        for pair in zip(theirs, ours, strict=True):
            _same(*pair)
    else:
        assert theirs == ours


if __name__ == "__main__":
    main()
