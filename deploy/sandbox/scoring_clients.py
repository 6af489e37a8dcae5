"""Clients that send scoring requests without pause, and count responses and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import requests

SendRequest = Callable[[requests.Session], requests.Response]


@dataclass
class ClientResults:
    """The results of all clients: successful responses by body, and a text for each failure."""

    answered: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


@contextmanager
def run_clients(
    send: SendRequest, bundle: str | bool, count: int = 2, pause: float = 0.0
) -> Iterator[ClientResults]:
    """Run `count` clients inside the block, which call `send` every `pause` seconds.

    `bundle` is the file of trusted certificates, as for requests.
    """
    results, stopped = ClientResults(), Event()

    def run() -> None:
        with requests.Session() as http:
            http.trust_env, http.verify = False, bundle
            while not stopped.wait(pause):
                try:
                    response = send(http)
                except requests.RequestException as error:
                    results.lost.append(repr(error))
                    continue
                if response.status_code == 200:
                    results.answered[response.text] += 1
                else:
                    results.lost.append(f"{response.status_code} {response.text[:200]}")

    threads = [Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield results
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def build_request(url: str, body: Any, headers: dict[str, str]) -> SendRequest:
    """Return a function that sends a request to /score."""
    return lambda http: http.post(f"{url}/score", json=body, headers=headers, timeout=60)
