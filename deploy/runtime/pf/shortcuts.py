"""Make promptflow's own steps cheaper, with the same results.

Each function here replaces one name inside of promptflow or the OpenAI SDK, for one reason that it
states. `SERVE_SHORTCUTS=false` leaves all of them out.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

from jinja2 import Template
from jinja2.sandbox import SandboxedEnvironment

from .quick_chat import QuickChat

# A flow has a handful of templates; only one that makes templates of its inputs has more.
TEMPLATES = 128


def install() -> None:
    """Install those that belong to modules which the flow has loaded."""
    compile_each_template_once()
    keep_clients_of_prompties()
    send_plain_chat_requests_as_they_are()


def compile_each_template_once() -> None:
    """promptflow compiles a node's template again for each request: 1 to 2 ms."""
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


def keep_clients_of_prompties() -> None:
    """A prompty makes a client, with TLS settings and a new connection, for each request: 50 ms."""
    flow = importlib.import_module("promptflow.core._flow")
    make, send = flow.get_open_ai_client_by_connection, flow.send_request_to_llm
    clients: dict[Any, Any] = {}

    def kept(connection: Any, is_async: bool = False) -> Any:
        if is_async:
            # Its connections belong to one event loop; a flow may have made another for this call.
            return make(connection=connection, is_async=True)
        values = (connection.configs, connection.secrets)
        key = (type(connection), *(tuple(sorted(each.items())) for each in values))
        if key not in clients:
            clients[key] = make(connection=connection)
        return clients[key]

    def sent(client: Any, api: str, parameters: dict[str, Any], timeout: Any) -> Any:
        if timeout is not None or api == "completion" or client not in clients.values():
            return send(client, api, parameters, timeout)
        # Without a time limit of the request's own a copy of the client has nothing to change.
        return client.chat.completions.create(**parameters)

    flow.get_open_ai_client_by_connection = kept  # type: ignore[attr-defined]
    flow.send_request_to_llm = sent  # type: ignore[attr-defined]


# Parameters that the SDK sends as they are.
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


def send_plain_chat_requests_as_they_are() -> None:
    """The SDK walks through each request by its type hints, to convert what is no JSON: 1 ms.

    What is JSON already goes out by `quick_chat`, or by the SDK's own way for requests that it has
    no method for ("Undocumented endpoints" in its README): the same client, authentication,
    retries, time limits and type of answer. All else takes the ordinary way.
    """
    try:
        resources = importlib.import_module("openai.resources.chat.completions")
    except ModuleNotFoundError:
        # The flow talks to no model, and its image has no SDK.
        return
    openai = importlib.import_module("openai")
    types = importlib.import_module("openai.types.chat")
    quick = QuickChat()

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
            if _are_plain_headers(headers) and quick.accepts(self._client):
                return quick.create(self._client, body, headers, post)
            return post()

        return create

    chunk = types.ChatCompletionChunk
    sync, of_async = resources.Completions, resources.AsyncCompletions
    sync.create = plain(sync.create, openai.Stream[chunk])
    of_async.create = plain(of_async.create, openai.AsyncStream[chunk])


def _are_plain_headers(headers: Any) -> bool:
    """Tell whether `headers` are text, and none is the SDK's word to itself (a raw answer, say)."""
    return isinstance(headers, dict) and all(
        isinstance(text, str)
        and text.isascii()
        and text.isprintable()
        and not text.lower().startswith("x-stainless-")
        for pair in headers.items()
        for text in pair
    )


def _is_plain(value: Any) -> bool:
    """Tell whether `value` is what a JSON document holds."""
    if isinstance(value, _PLAIN_TYPES):
        return True
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return isinstance(value, list) and all(map(_is_plain, value))
