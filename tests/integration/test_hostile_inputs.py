"""Hostile inputs, to each flow that takes such a one: those beside are served as before.

What a request's input reaches was read and timed, for texts of n and of 2 n characters:

| where | examined | grew with | here |
|---|---|---|---|
| tools/common.py, core/_prompty_utils.py | `parse_chat` | cube of blank lines | `prompts.py` |
| … | `try_parse_name_and_content`, `…_tool_call_id…`, `…_tool_calls` | cube, square | `prompts.py` |
| … | `ast.literal_eval` of tool calls | memory, 80 times | `linear.py`: a limit |
| … | `to_content_str_or_list` | memory, 130 times: a dictionary a line | `linear.py` |
| … | `Escaper` | spellings of roles × text; memory, 9 times | `roles.py` |
| tools/open_model_llm.py | `parse_chat` | square of newlines | `prompts.py` |
| _utils/multimedia_utils.py | `is_base64` | square | `picture_texts.py` |
| … | `is_url`: the cache of `urllib.parse.urlsplit` | memory: it keeps 128 texts | a limit |
| core/_prompty_utils.py | `_get_image_obj` | cube of white space | `picture_texts.py` |
| our `pictures.py` | `Path.resolve` of a picture's path | square of its parts | a limit |
| _utils/multimedia_utils.py | `MIME_PATTERN`, `get_multimedia_info`, recursion | linear; depth is limited by JSON's | |
| executor/flow_validator.py, contracts/tool.py | types: `int`, `float`, `json.loads` | linear; digits have a limit | |
| _utils/credential_scrubber.py, logger_utils.py | `(?<=key=)[^\\s;&]+` | linear | |
| _utils/tool_utils.py, tracing, core/_flow.py, _input_assignment_parser.py | templates, references | not reached by inputs | |
| jinja2 | rendering in its sandbox | the template's own loops | |
| opentelemetry/trace/span.py, util/re.py | the header `tracestate` | square of blanks | `telemetry_request.py`: a limit |
| json, http, urllib3, httpx, h11, jinja2.lexer, docstring_parser, pydantic, email | 235 expressions in all | those that grow faster read templates, signatures or settings | |
| runtime: access.py | `[A-Za-z0-9._~+/-]{16,}=*`, matched whole | linear | |
"""

from __future__ import annotations

import itertools
import json
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import requests

from tests.integration import footprint, hostile_requests, input_flows, load
from tests.integration.conftest import Start, built
from tests.integration.running_container import Running
from tests.integration.test_contract import sample
from tests.integration.test_hostile_clients import CLIENTS, KEPT, measure

pytestmark = pytest.mark.alone

WINDOWS = 3
# Of promptflow's expressions a hundredth of it takes minutes.
SIZE = 100_000
ATTACKERS = 2
# Below this, it may be the work of an ordinary request of that size (seconds).
FLOOR = 0.25


def fill(piece: str, size: int = SIZE) -> str:
    return piece * (size // len(piece))


def spellings(word: str) -> list[str]:
    """Return a word in each mix of capitals."""
    return [
        "".join(c.upper() if n >> i & 1 else c for i, c in enumerate(word))
        for n in range(2 ** len(word))
    ]


# For an input that becomes a prompt.
PROMPTS: dict[str, str] = {
    "blank lines": fill("\n"),
    "blanks": fill(" ") + "x",
    "headings": "user:\n" + fill("user:"),
    "almost headings": fill("xuser:\n\n"),
    "names of roles": "user:\n" + fill("user"),
    "spellings of roles": "".join(f"{role}:\n" for role in spellings("assistant")) * 10,
    "labels": "x\nname:" + fill("\n") + "x" + fill("\ncontent "),
    "short lines": fill("a\n"),
}
# For a text of a prompty besides.
PICTURE_TEXTS: dict[str, str] = {
    "kinds of pictures": "data:image/" + fill(";url:") + "\nx",
    "blanks in a picture": "data:image/png;path:" + fill(" ") + "\nx\ny",
    "no base64": f"data:image/png;base64:{fill('A')}!",
}


def history(answer: str) -> dict[str, Any]:
    turn = {"inputs": {"question": "why?"}, "outputs": {"answer": answer}}
    return {"question": "why?", "chat_history": [turn]}


def deep(value: Any) -> Any:
    """Return `value` below as many objects as Python's JSON takes at most, and some less."""
    for _ in range(900):
        value = {"a": value}
    return value


def album() -> dict[str, Any]:
    long = fill("A", 2_000_000) + "!"
    return {
        "base64": {"cover": {"data:image/png;base64": long}},
        "base64 in a list": {"pictures": [{"data:image/png;base64": long}]},
        "base64 in an object": {"notes": {"a": {"data:image/png;base64": long}}},
        "no base64, no address, no path": {"cover": long},
        "parts of a path": {"cover": {"data:image/png;path": fill("a/", 2_000_000)}},
        "commas": {"cover": fill(",", 2_000_000)},
        "many pictures": {"pictures": [{"data:image/png;base64": "AAAA"}] * 20_000},
        "many addresses": {"pictures": [{"data:image/png;url": "http://x.example/"}] * 20_000},
    }


ATTACKS: Mapping[str, Mapping[str, Any]] = {
    "faq": {name: {"question": text} for name, text in PROMPTS.items()},
    "chat": {
        **{name: {"question": text} for name, text in PROMPTS.items()},
        **{f"{name}, before": history(text) for name, text in PROMPTS.items()},
        "tool calls": history("tool_calls:\n[" + fill("1,", 2_000_000) + "]"),
        "almost tool calls": history(fill("tool_calls:\n[")),
    },
    "triage": {name: {"ticket": text} for name, text in PROMPTS.items()},
    "extract": {name: {"text": text} for name, text in PROMPTS.items()},
    "rewrite": {name: {"text": text} for name, text in (PROMPTS | PICTURE_TEXTS).items()},
    "album": album(),
    "echo": {
        **{name: {"thing": {}, "words": [], "text": text} for name, text in PROMPTS.items()},
        "a deep object": {"thing": deep({}), "words": []},
        "a wide list": {"thing": {}, "words": [{"a": 1}] * 100_000},
        "long digits": {"thing": {}, "words": [], "number": fill("9")},
    },
    "caption": {name: {"picture": text} for name, text in (PROMPTS | PICTURE_TEXTS).items()},
}
SAMPLES: Mapping[str, Any] = {
    "echo": {"thing": {}, "words": []},
    "album": {"pictures": [{"data:image/png;base64": "AAAA"}]},
    "caption": {"picture": "a"},
}


@pytest.fixture(scope="module")
def attacked(
    start: Start, variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Running]:
    """Return a container of a flow for these tests alone, warm; one a module."""

    @cache
    def of(name: str) -> Running:
        if name in SAMPLES:
            image = input_flows.build(tmp_path_factory.mktemp(name), name)
        else:
            image = built(name)[1]
        running = start(image, **variables)
        measure(load.address(running.container), 2, request(name))
        return running

    return of


def request(name: str) -> Any:
    return SAMPLES.get(name) or sample(name)


@contextmanager
def attacking(running: Running, *bodies: Any) -> Iterator[list[int]]:
    """Send `bodies` in turn, again and again; yield the statuses of the answers.

    They are complete at the end, when each body has been answered.
    """
    statuses: list[int] = []
    left = threading.Event()

    def attack() -> None:
        with requests.Session() as session:
            for count, data in enumerate(
                itertools.cycle([json.dumps(body).encode() for body in bodies])
            ):
                if left.is_set() and count >= len(bodies):
                    return
                answer = session.post(
                    f"{running.url}/score",
                    data=data,
                    headers={"Content-Type": "application/json"},
                    timeout=60,
                )
                statuses.append(answer.status_code)
                # What the server makes of it is measured, not who gets more of this machine.
                left.wait(0.2)

    threads = [threading.Thread(target=attack) for _ in range(ATTACKERS)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        left.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("flow", ATTACKS)
def test_healthy_clients_are_not_affected(flow: str, attacked: Callable[[str], Running]) -> None:
    running, healthy = attacked(flow), request(flow)
    to, bodies = load.address(running.container), ATTACKS[flow].values()
    lists = [hostile_requests.of_values(b'{"a":1}', 10_000_000, n) for n in (b"pictures", b"words")]
    requests = [*hostile_requests.REQUESTS.values(), *lists]
    # What the allocator keeps of a first attack is not what a second one adds.
    with attacking(running, *bodies), hostile_requests.sending(to, len(requests), *requests):
        measure(to, 1, healthy)
    processes, memory = footprint.processes(running.container), footprint.memory(running.container)
    before = measure(to, 1, healthy)
    windows: list[float] = []
    with attacking(running, *bodies) as statuses:
        while len(windows) < WINDOWS or len(statuses) < ATTACKERS * len(bodies):
            windows.append(measure(to, 1, healthy))
    of_inputs = statistics.median(windows)
    with hostile_requests.sending(to, CLIENTS, *requests):
        of_requests = measure(to, WINDOWS, healthy)
        peak = footprint.memory(running.container)
    quiet = max(before, measure(to, 1, healthy))
    print(
        f"{flow}: p99 {quiet:.3f} s, with hostile inputs {of_inputs:.3f} s, with hostile requests "
        f"{of_requests:.3f} s; {memory:.0f} MB, {peak:.0f} MB; {sorted(set(statuses))}"
    )
    # Every answer is the flow's or a refusal: none is a worker that was lost.
    assert set(statuses) <= {200, 400, 413, 500}
    assert footprint.processes(running.container) == processes
    assert footprint.settles(lambda: footprint.memory(running.container), memory + KEPT)
    assert max(of_inputs, of_requests) < max(2 * quiet, FLOOR)


@pytest.mark.slow  # Minutes; all of a flow in turn: above.
@pytest.mark.parametrize(
    ("flow", "attack"), [(flow, name) for flow, attacks in ATTACKS.items() for name in attacks]
)
def test_healthy_clients_are_not_affected_by_each(
    flow: str, attack: str, attacked: Callable[[str], Running]
) -> None:
    running, body = attacked(flow), ATTACKS[flow][attack]
    to, healthy = load.address(running.container), request(flow)
    with attacking(running, body):
        measure(to, 1, healthy)
    processes, memory = footprint.processes(running.container), footprint.memory(running.container)
    before = measure(to, 1, healthy)
    with attacking(running, body) as statuses:
        during = measure(to, WINDOWS, healthy)
    quiet = statistics.mean([before, measure(to, 1, healthy)])
    print(f"{flow}, {attack}: {quiet:.3f} s, attacked {during:.3f} s, {sorted(set(statuses))}")
    # Every answer is the flow's or a refusal: none is a worker that was lost.
    assert set(statuses) <= {200, 400, 413, 500}
    assert footprint.processes(running.container) == processes
    assert footprint.settles(lambda: footprint.memory(running.container), memory + KEPT)
    assert during < max(2 * quiet, FLOOR), f"{quiet=:.3f} s"
