"""Run in an image: compare the requests of a client whose credentials change with those of the OpenAI SDK.

Each case changes one thing of a client after its first requests, and changes it back. The SDK's
own requests, taken down before the shortcuts are installed, are what is compared with.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any

Seen = list[tuple[str, dict[str, str]]]
Change = Callable[[Any], None]

QUESTION: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "Hello?"}]}
COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ],
}
# What says who asks; the rest of a head differs between the two ways on purpose.
TELLING = ("authorization", "api-key", "openai-organization", "openai-project", "x-tenant")


class Server(ThreadingHTTPServer):
    """A model that takes down the path and the telling headers of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        self.seen: Seen = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise each body waits 40 ms for the acknowledgement of its head.
    disable_nagle_algorithm = True
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        sent = [(name.lower(), value) for name, value in self.headers.items()]
        assert len(dict(sent)) == len(sent), f"a header was sent twice: {sent}"
        kept = {name: value for name, value in sent if name in TELLING}
        self.server.seen.append((self.path, kept))
        content = json.dumps(COMPLETION).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("set-cookie", "session=of-the-first")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _serving() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _set(**values: Any) -> Change:
    def change(client: Any) -> None:
        for name, value in values.items():
            setattr(client, name, value)

    return change


def _tokens() -> Callable[[], str]:
    count = iter(range(1000))
    return lambda: f"token-{next(count)}"


TENANTS = (
    lambda client: client._custom_headers.update({"x-tenant": "a"}),
    lambda client: client._custom_headers.update({"x-tenant": "b"}),
)
OPENAI: dict[str, tuple[Change, ...]] = {
    "two keys": (_set(api_key="key-of-a"), _set(api_key="key-of-b")),
    "default headers": TENANTS,
    "two organizations": (_set(organization="a"), _set(organization="b")),
    "two projects": (_set(project="a"), _set(project="b")),
    "default query": (_set(_custom_query={"v": "1"}), _set(_custom_query={"v": "2"})),
    "a list in the query": (_set(_custom_query={"v": ["1"]}), _set(_custom_query={"v": ["2"]})),
}
AZURE: dict[str, tuple[Change, ...]] = {
    "two keys": OPENAI["two keys"],
    "default headers": TENANTS,
    "two tokens": (_set(_azure_ad_token="a"), _set(_azure_ad_token="b")),
    "a token provider after a key": (
        _set(_azure_ad_token_provider=None),
        _set(_azure_ad_token_provider=lambda: "token"),
    ),
    "two token providers": (
        _set(_azure_ad_token_provider=lambda: "a"),
        _set(_azure_ad_token_provider=lambda: "b"),
    ),
}


def _asked(server: Server, client: Any, changes: tuple[Change, ...], **more: Any) -> Seen:
    """Ask in turn with each of `changes` made, three times over; return what was sent."""
    server.seen.clear()
    for _ in range(3):
        for change in changes:
            change(client)
            for _ in range(2):
                asked = client.chat.completions.create(**QUESTION, **more)
                if asyncio.iscoroutine(asked):
                    asked = LOOP.run_until_complete(asked)
                assert asked.choices[0].message.content == "Hi"
    return list(server.seen)


def _counted(route: Any) -> list[Any]:
    """Return a list to which each request that takes the short way is added."""
    sent: list[Any] = []
    send = route.send

    def counted(self: Any, *args: Any) -> Any:
        sent.append(self)
        return send(self, *args)

    route.send = counted
    return sent


LOOP = asyncio.new_event_loop()


def main() -> None:
    """Compare all cases. Raises `AssertionError`."""
    openai = import_module("openai")
    import_module("openai.resources.chat.completions")
    with _serving() as server:
        url = f"http://127.0.0.1:{server.server_port}"

        def plain(kind: Any) -> Any:
            return kind(api_key="key", base_url=f"{url}/v1", max_retries=0)

        def azure(kind: Any) -> Any:
            return kind(api_key="key", azure_endpoint=url, api_version="1", max_retries=0)

        cases = [
            *((name, plain, "OpenAI", changes) for name, changes in OPENAI.items()),
            *((name, azure, "AzureOpenAI", changes) for name, changes in AZURE.items()),
        ]
        cases += [(name, make, f"Async{kind}", changes) for name, make, kind, changes in cases]
        of_sdk = {
            (name, kind): _asked(server, make(getattr(openai, kind)), changes)
            for name, make, kind, changes in cases
        }
        assert import_module("flow_server.fast_client.versions").is_supported()
        import_module("flow_server.fast_client.transport").install()
        import_module("flow_server.fast_client.completions").install()
        short = _counted(import_module("flow_server.fast_client.http_client").Route)
        for name, make, kind, changes in cases:
            ours = _asked(server, make(getattr(openai, kind)), changes)
            assert ours == of_sdk[name, kind], f"{kind}, {name}: {ours}"
            assert len(set(map(str, ours))) == 2, f"{kind}, {name}: {ours}"
        # Of twelve requests of a client that is not async two show the way, one for each change.
        quick = [name for name, _, kind, _ in cases if kind in ("OpenAI", "AzureOpenAI")]
        assert len(short) == 10 * (len(quick) - quick.count("a list in the query")), len(short)
        # A token is asked for at each request, and what a request brings along goes first.
        for more in ({}, {"extra_headers": {"Authorization": "Bearer of-this-request"}}):
            client = azure(openai.AzureOpenAI)
            ours = _asked(server, client, (_set(_azure_ad_token_provider=_tokens()),), **more)
            sent = [headers["authorization"] for _, headers in ours]
            tokens = [f"Bearer token-{number}" for number in range(6)]
            assert sent == (["Bearer of-this-request"] * 6 if more else tokens), sent


if __name__ == "__main__":
    main()
