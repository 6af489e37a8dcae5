"""Callers that score without pause, and count what was not answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import requests

Ask = Callable[[requests.Session], requests.Response]


@dataclass
class Calls:
    """What came of the calls: answers by their text, and in words what was lost."""

    answered: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


@contextmanager
def calling(ask: Ask, bundle: str | bool, callers: int = 2, pause: float = 0.0) -> Iterator[Calls]:
    """Call `ask` again and again inside of the block, with `callers` at once.

    `pause` is in seconds, between two calls.
    """
    calls, done = Calls(), Event()

    def call() -> None:
        with requests.Session() as http:
            http.trust_env, http.verify = False, bundle
            while not done.wait(pause):
                try:
                    answer = ask(http)
                except requests.RequestException as error:
                    calls.lost.append(repr(error))
                    continue
                if answer.status_code == 200:
                    calls.answered[answer.text] += 1
                else:
                    calls.lost.append(f"{answer.status_code} {answer.text[:200]}")

    threads = [Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield calls
    finally:
        done.set()
        for thread in threads:
            thread.join()


def scoring(url: str, body: Any, headers: dict[str, str]) -> Ask:
    """Return a call of /score."""
    return lambda http: http.post(f"{url}/score", json=body, headers=headers, timeout=60)
