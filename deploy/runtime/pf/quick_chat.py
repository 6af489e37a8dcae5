"""Ask a model for a completion in a quarter of the processor time that the OpenAI SDK takes.

The SDK builds each request, and reads each answer, through many small objects; that is most of what
a flow with an LLM node costs. Its first request to a deployment goes its own way and shows how it
is written: address, headers, authentication. Those that follow with the same client and the same
credentials differ in their body alone and are sent from here, with the SDK's certificates and time
limits; answers and errors are the SDK's own
objects, so what asks again after a 429 does so. Nothing is ever sent twice: a request that has left
ends with an answer, a stream or an error.

All else goes by the SDK: what is no plain JSON, clients with hooks, proxies, retries of their own,
or keys that a function returns.
"""

from __future__ import annotations

import importlib
import json
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .quick_stream import Streams
from .routes import BROKEN, Answer, Route, credentials
from .transport import Stack

# A client may ask as many deployments as its users can name.
MOST_ROUTES = 64

Ordinary = Callable[..., Any]


class QuickChat:
    """Sends what `accepts` lets through for `Completions.create` of the SDK."""

    def __init__(self) -> None:
        self._openai = importlib.import_module("openai")
        self._construct = importlib.import_module("openai._models").construct_type
        self._answer = importlib.import_module("openai.types.chat").ChatCompletion
        self._streams = Streams()
        # By client, and then by what the address and the headers depend on.
        self._routes: weakref.WeakKeyDictionary[Any, dict[Any, Route]] = weakref.WeakKeyDictionary()

    def accepts(self, client: Any) -> bool:
        """Tell whether `client` is one whose requests all look alike."""
        if type(client) not in (self._openai.OpenAI, self._openai.AzureOpenAI):
            return False
        inner = client._client
        unusual = (
            client.max_retries,
            client._strict_response_validation,
            getattr(client, "_api_key_provider", None),
            getattr(client, "_workload_identity_auth", None),
            getattr(client, "_provider_runtime", None),
            inner._mounts,
            inner._auth,
            # The SDK's own are about redirects, which go by the SDK.
            [
                hook
                for hooks in inner.event_hooks.values()
                for hook in hooks
                if not str(hook.__module__).startswith("openai.")
            ],
        )
        return isinstance(inner._transport, Stack) and not any(unusual)

    def create(
        self,
        client: Any,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        ordinary: Ordinary,
    ) -> Any:
        """Return the completion for `body`; `ordinary` asks for it by the SDK.

        Raises the SDK's `APIError`s.
        """
        routes = self._routes.setdefault(client, {})
        # With traces the values of headers differ from request to request.
        asked = (body.get("model"), *sorted(headers))
        key = (asked, credentials(client))
        try:
            route = routes.get(key)
        except TypeError:
            # A list in the client's query, say, which is no part of a key.
            return ordinary()
        if route is None:
            with client._client._transport.watched() as seen:
                answer = ordinary()
            if len(routes) >= MOST_ROUTES:
                routes.clear()
            # Another thread may have changed the client meanwhile: what was sent is then not known.
            if len(seen) == 1 and key == (asked, credentials(client)):
                routes[key] = Route.of(seen[0], client, headers)
            return answer
        content = json.dumps(
            body, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        ).encode()
        with self._told(route):
            call = route.send(content, client, headers)
            if body.get("stream") and 200 <= call.answer.status < 300:
                return self._streams.stream(client, route, call)
            got = call.whole()
        return self._judged(client, route, got, ordinary)

    @contextmanager
    def _told(self, route: Route) -> Iterator[None]:
        """Tell by the SDK's errors what the network's say."""
        try:
            yield
        except TimeoutError as error:
            raise self._openai.APITimeoutError(request=route.request) from error
        except BROKEN as error:
            raise self._openai.APIConnectionError(request=route.request) from error

    def _judged(self, client: Any, route: Route, got: Answer, ordinary: Ordinary) -> Any:
        if 300 <= got.status < 400:
            # Not answered yet, and perhaps to be sent elsewhere for good.
            self._routes.pop(client, None)
            return ordinary()
        response = route.response(got)
        if got.status >= 400:
            raise client._make_status_error_from_response(response) from None
        try:
            data = json.loads(got.content)
        except ValueError:
            # What the SDK makes of it: the text, which has no choices.
            return response.text
        completion = self._construct(value=data, type_=self._answer)
        completion._request_id = response.headers.get("x-request-id")
        return completion
