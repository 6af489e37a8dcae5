"""A case of the compatibility table: a request, and the responses of pf's own server and of ours.

A difference is declared by the row of docs/container.md ("Differences from pf's own server, on
purpose") that gives its reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.integration.raw_http import Sent

# Rows of the documentation, by their first cell.
FAILED = "a node fails, a model refuses"
NOT_JSON = "empty or non-JSON body, one input"
NO_OBJECT = "`null`, a list, a number, not UTF-8"
ENCODING = "JSON in UTF-16 or UTF-32"
NO_STRING = "list, object, boolean or `null` for a `string` input"
NO_NUMBER = "`NaN`, `Infinity`, `1e999`, half a surrogate pair, thousands of digits"
SIZE = "body size"
BY_PATH = "a picture by path (`data:image/png;path`)"
CUT = "a client leaves before its body is complete"
ERRORS = "body of an error"
PATHS = "unknown path, wrong method"
PAGES = "`/`, `/feedback`"
ACCEPT = "`Accept` in capitals or with parameters"
ABOUT = "`/health`, `/version`, `/swagger.json`"
CORS = "other origins in a browser (CORS)"
REQUEST_ID = "`X-Request-ID`"
LONG_HEAD = "a long head"
NOT_HTTP = "data that is not HTTP"


@dataclass(frozen=True)
class Case:
    """A request for a flow, and what both servers make of it.

    `status` is pf's and ours; 0 stands for no answer. `differs` gives for each aspect of the answer
    that differs (status, body, or the name of a header) the row of the documentation. `headers` are
    compared beside `COMPARED`.
    """

    name: str
    request: Sent
    flow: str
    status: tuple[int, int]
    differs: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()


# Headers that every client reads.
COMPARED = ("content-type", "allow")
EVENTS = ("Accept", "text/event-stream")
SAMPLE = b'{"question": "How many days of holiday do I have?"}'
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HISTORY = [{"inputs": {"question": "Where?"}, "outputs": {"answer": "Here."}}]


def as_json(value: Any) -> bytes:
    """Return `value` as a body."""
    return json.dumps(value).encode()


def question(value: Any) -> bytes:
    """Return the body for a flow whose input is a question."""
    return as_json({"question": value})


def chat(history: Any) -> bytes:
    """Return the body for the flow chat."""
    return as_json({"question": "And then?", "chat_history": history})


def same(name: str, request: Sent, status: int = 200, flow: str = "faq") -> Case:
    """What both answer alike."""
    return Case(name, request, flow, (status, status))


def refused(name: str, request: Sent, row: str, pf: int = 200) -> Case:
    """What pf takes, or fails at, and we refuse."""
    return Case(name, request, "faq", (pf, 400), {"status": row, "body": row})


def mistake(name: str, request: Sent, flow: str = "faq", status: int = 400) -> Case:
    """What both refuse, each with its own body."""
    return Case(name, request, flow, (status, status), {"body": ERRORS})


def elsewhere(name: str, request: Sent, pf: int, ours: int, row: str = PATHS) -> Case:
    """A path or a method that the contract does not have; pf's body is a text, or of a page."""
    aspects = ["body", "content-type"]
    if pf != ours:
        aspects.append("status")
    if ours == 405:
        aspects.append("allow")
    if request.method == "HEAD":
        aspects.remove("body")
    return Case(name, request, "faq", (pf, ours), dict.fromkeys(aspects, row))
