"""Patches that make steps of promptflow cheaper, with the same results.

Each public function replaces names in promptflow, and states its reason. `SERVE_SHORTCUTS=false`
turns off all of them.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

from jinja2 import Template
from jinja2.sandbox import SandboxedEnvironment

# A flow has a few templates; only a flow that makes templates from its inputs has more.
TEMPLATES = 128


def install() -> None:
    """Install the patches for the modules that the flow has loaded."""
    cache_templates()
    cache_prompty_clients()


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
    create, send = flow.get_open_ai_client_by_connection, flow.send_request_to_llm
    clients: dict[Any, Any] = {}

    def get_client(connection: Any, is_async: bool = False) -> Any:
        if is_async:
            # Its connections belong to one event loop, and the flow may use a new loop each time.
            return create(connection=connection, is_async=True)
        values = (connection.configs, connection.secrets)
        key = (type(connection), *(tuple(sorted(value.items())) for value in values))
        if key not in clients:
            clients[key] = create(connection=connection)
        return clients[key]

    def send_request(client: Any, api: str, parameters: dict[str, Any], timeout: Any) -> Any:
        if timeout is not None or api == "completion" or client not in clients.values():
            return send(client, api, parameters, timeout)
        # promptflow copies the client to set a time limit; this request has none.
        return client.chat.completions.create(**parameters)

    flow.get_open_ai_client_by_connection = get_client  # type: ignore[attr-defined]
    flow.send_request_to_llm = send_request  # type: ignore[attr-defined]
