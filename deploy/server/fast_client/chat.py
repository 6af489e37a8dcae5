"""Send chat-completions requests with less processor time than the OpenAI SDK takes.

The SDK sends the first request to a deployment, and it is recorded as a route. Later requests of
the same client with the same credentials differ only in their body, and are sent by the route.
docs/fast-client.md has the reasons, and the requests that the SDK sends.
"""

from __future__ import annotations

import importlib
import json
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .http_client import CONNECTION_ERRORS, ResponseReader, Route, fingerprint_client
from .stream import StreamFactory
from .transport import SyncTransportPool

# The number of deployments that one client calls has no limit of its own: a request can name one.
MAX_ROUTES = 64

Ordinary = Callable[..., Any]


class FastChat:
    """A replacement of the SDK's `Completions.create` for the clients that `can_send` accepts."""

    def __init__(self) -> None:
        self._openai = importlib.import_module("openai")
        self._construct = importlib.import_module("openai._models").construct_type
        self._answer = importlib.import_module("openai.types.chat").ChatCompletion
        self._streams = StreamFactory()
        # By client, and then by all that determines the address and the headers.
        self._routes: weakref.WeakKeyDictionary[Any, dict[Any, Route]] = weakref.WeakKeyDictionary()

    def can_send(self, client: Any) -> bool:
        """Return whether all requests of `client` differ only in body and credentials."""
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
            # The SDK's own hooks handle redirects, and the SDK sends requests that are redirected.
            [
                hook
                for hooks in inner.event_hooks.values()
                for hook in hooks
                if not str(hook.__module__).startswith("openai.")
            ],
        )
        return isinstance(inner._transport, SyncTransportPool) and not any(unusual)

    def create(
        self,
        client: Any,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        ordinary: Ordinary,
    ) -> Any:
        """Return the completion for `body`.

        `ordinary` sends the same request with the SDK. Raises the SDK's `APIError`.
        """
        routes = self._routes.setdefault(client, {})
        # Only the names of headers: with traces, their values differ from request to request.
        target = (body.get("model"), *sorted(headers))
        key = (target, fingerprint_client(client))
        try:
            route = routes.get(key)
        except TypeError:
            # A value that cannot be hashed, such as a list in the client's query.
            return ordinary()
        if route is None:
            with client._client._transport.record_requests() as recorded:
                answer = ordinary()
            if len(routes) >= MAX_ROUTES:
                routes.clear()
            # If another thread has changed the client, it is not known which values were sent.
            if len(recorded) == 1 and key == (target, fingerprint_client(client)):
                routes[key] = Route.from_request(recorded[0], client, headers)
            return answer
        content = json.dumps(
            body, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        ).encode()
        with self._translate_errors(route):
            call = route.send(content, client, headers)
            if body.get("stream") and 200 <= call.answer.status < 300:
                return self._streams.open_stream(client, route, call)
            reader = call.read_all()
        return self._read_completion(client, route, reader, ordinary)

    @contextmanager
    def _translate_errors(self, route: Route) -> Iterator[None]:
        """Raise network errors as the SDK's errors."""
        try:
            yield
        except TimeoutError as error:
            raise self._openai.APITimeoutError(request=route.request) from error
        except CONNECTION_ERRORS as error:
            raise self._openai.APIConnectionError(request=route.request) from error

    def _read_completion(
        self, client: Any, route: Route, reader: ResponseReader, ordinary: Ordinary
    ) -> Any:
        if 300 <= reader.status < 400:
            # The SDK follows the redirect. The new address may be permanent, so forget this one.
            self._routes.pop(client, None)
            return ordinary()
        response = route.build_response(reader)
        if reader.status >= 400:
            raise client._make_status_error_from_response(response) from None
        try:
            data = json.loads(reader.content)
        except ValueError:
            # As the SDK does: a response that is not JSON is returned as text.
            return response.text
        completion = self._construct(value=data, type_=self._answer)
        completion._request_id = response.headers.get("x-request-id")
        return completion
