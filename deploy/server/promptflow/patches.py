"""Patches that make steps of promptflow cheaper, with the same results.

Each public function replaces names in promptflow or in the OpenAI SDK, and states its reason.
`SERVE_SHORTCUTS=false` turns off all of them.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

from jinja2 import Template
from jinja2.sandbox import SandboxedEnvironment

from ..fast_client.chat import FastChat

# A flow has a few templates; only a flow that makes templates from its inputs has more.
TEMPLATES = 128


def install() -> None:
    """Install the patches for the modules that the flow has loaded."""
    cache_templates()
    cache_prompty_clients()
    send_plain_chat_requests()


def cache_templates() -> None:
    """Compile each template only once; promptflow compiles it for each request (1 to 2 ms)."""
    for name in ("promptflow.tools.common", "promptflow.core._utils"):
        if name in sys.modules:
            sys.modules[name].SandboxedEnvironment = _environment  # type: ignore[attr-defined]


class _Environment(SandboxedEnvironment):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._compiled = functools.lru_cache(maxsize=TEMPLATES)(super().from_string)

    def from_string(self, source: Any, *args: Any, **kwargs: Any) -> Template:
        if args or kwargs or not isinstance(source, str):
            return super().from_string(source, *args, **kwargs)
        return self._compiled(source)


@functools.lru_cache(maxsize=8)
def _environment(**options: Any) -> _Environment:
    return _Environment(**options)


def cache_prompty_clients() -> None:
    """Keep one client for each connection of a prompty.

    promptflow creates a client, with TLS settings and a new connection, for each request: 50 ms.
    """
    flow = importlib.import_module("promptflow.core._flow")
    make, send = flow.get_open_ai_client_by_connection, flow.send_request_to_llm
    clients: dict[Any, Any] = {}

    def kept(connection: Any, is_async: bool = False) -> Any:
        if is_async:
            # Its connections belong to one event loop, and the flow may use a new loop each time.
            return make(connection=connection, is_async=True)
        values = (connection.configs, connection.secrets)
        key = (type(connection), *(tuple(sorted(value.items())) for value in values))
        if key not in clients:
            clients[key] = make(connection=connection)
        return clients[key]

    def sent(client: Any, api: str, parameters: dict[str, Any], timeout: Any) -> Any:
        if timeout is not None or api == "completion" or client not in clients.values():
            return send(client, api, parameters, timeout)
        # promptflow copies the client to set a time limit; this request has none.
        return client.chat.completions.create(**parameters)

    flow.get_open_ai_client_by_connection = kept  # type: ignore[attr-defined]
    flow.send_request_to_llm = sent  # type: ignore[attr-defined]


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


def send_plain_chat_requests() -> None:
    """Send requests that are plain JSON without the SDK's conversion.

    The SDK walks through each request by its type hints to convert values that are not JSON: 1 ms.
    Plain JSON is sent by `FastChat`, or with the SDK's `client.post`, which is meant for requests
    without a method of their own ("Undocumented endpoints" in its README): the same client,
    authentication, retries, time limits and response type. The SDK sends all other requests.
    """
    try:
        resources = importlib.import_module("openai.resources.chat.completions")
    except ModuleNotFoundError:
        # The flow calls no model, and its image has no SDK.
        return
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
