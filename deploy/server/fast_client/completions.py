"""Replace `create` of the OpenAI SDK's chat completions."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from .chat import FastChat

# Parameters that the SDK sends unchanged.
_PLAIN_PARAMETERS = frozenset(
    (
        "model",
        "messages",
        "temperature",
        "top_p",
        "n",
        "stream",
        "stream_options",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "user",
        "seed",
        "response_format",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
    )
)
_PLAIN_TYPES = (str, int, float, bool, type(None))


def install() -> None:
    """Send requests that are plain JSON without the SDK's conversion.

    They are sent by `FastChat`, or with the SDK's `client.post`, which is meant for requests
    without a method of their own ("Undocumented endpoints" in its README): the same client,
    authentication, retries, time limits and response type. The SDK sends all other requests.
    """
    resources = importlib.import_module("openai.resources.chat.completions")
    openai = importlib.import_module("openai")
    types = importlib.import_module("openai.types.chat")
    fast_chat = FastChat()

    def plain(ordinary: Callable[..., Any], streams: Any) -> Callable[..., Any]:
        @functools.wraps(ordinary)
        def create(self: Any, *args: Any, **params: Any) -> Any:
            body = {key: value for key, value in params.items() if key != "extra_headers"}
            if args or not (body.keys() <= _PLAIN_PARAMETERS and _is_plain(body)):
                return ordinary(self, *args, **params)
            headers = params.get("extra_headers") or {}
            post = functools.partial(
                self._client.post,
                "/chat/completions",
                body=body,
                cast_to=types.ChatCompletion,
                options={"headers": headers},
                stream=bool(body.get("stream")),
                stream_cls=streams,
            )
            if _are_plain_headers(headers) and fast_chat.can_send(self._client):
                return fast_chat.create(self._client, body, headers, post)
            return post()

        return create

    chunk = types.ChatCompletionChunk
    synchronous, asynchronous = resources.Completions, resources.AsyncCompletions
    synchronous.create = plain(synchronous.create, openai.Stream[chunk])
    asynchronous.create = plain(asynchronous.create, openai.AsyncStream[chunk])


def _are_plain_headers(headers: Any) -> bool:
    """Return whether all headers are text and none is an instruction to the SDK (raw response)."""
    return isinstance(headers, dict) and all(
        isinstance(text, str)
        and text.isascii()
        and text.isprintable()
        and not text.lower().startswith("x-stainless-")
        for pair in headers.items()
        for text in pair
    )


def _is_plain(value: Any) -> bool:
    """Return whether `value` consists only of JSON types."""
    if isinstance(value, _PLAIN_TYPES):
        return True
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return isinstance(value, list) and all(map(_is_plain, value))
