"""A request that holds the interpreter, or a thread for good: others are served, the worker is replaced.

The table of attacks for flows that freeze: each row is an input of `flows/frozen`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import requests

from deploy.config import configuration
from deploy.core.entities import Image
from deploy.delivery import resolve_image
from deploy.testing.waiting import until
from tests import projects
from tests.integration import footprint
from tests.integration.conftest import Start
from tests.integration.running_container import Running
from tests.projects import FIXTURE

FLOW = Path(__file__).parent / "flows" / "frozen"
FROZEN = "with request the-evil-one, and was killed: starting another"
GOOD = {"mode": "go"}


def _image(root: Path, is_async: bool = False) -> Image:
    files: dict[str, Any] = {
        f"flows/hello/{path.name}": path.read_text(encoding="utf-8") for path in FLOW.iterdir()
    }
    if is_async:
        code = files["flows/hello/work.py"]
        files["flows/hello/work.py"] = code.replace("\ndef work", "\nasync def work")
    for name in ("requirements.txt", "requirements.lock"):
        files[f"flows/hello/{name}"] = (FIXTURE / "flows/faq" / name).read_text(encoding="utf-8")
    files["flows/hello/sample.json"] = GOOD
    files["flows/hello/answer.py"] = None
    project = projects.make(root, files)
    return resolve_image.build_image(project, configuration.load_flow(project, "hello"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return _image(tmp_path_factory.mktemp("frozen"))


@pytest.fixture(scope="module")
def of_async(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return _image(tmp_path_factory.mktemp("frozen_async"), is_async=True)


@pytest.fixture(name="start")
def killed_after_the_test(start: Start) -> Iterator[Start]:
    """Start containers that are killed when the test ends: some compute without an end."""
    started: list[Running] = []

    def run(*arguments: Any, **variables: Any) -> Running:
        started.append(start(*arguments, **variables))
        return started[-1]

    yield run
    for running in started:
        with contextlib.suppress(docker.errors.APIError):
            running.container.kill()


class Attack:
    """A request in a thread of its own; `outcome` is the status, or the kind of failure."""

    def __init__(self, running: Running, mode: str) -> None:
        self.outcome: int | str = ""
        self._running, self._mode = running, mode
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        try:
            answer = self._running.post({"mode": self._mode}, X_Request_ID="the-evil-one")
            self.outcome = answer.status_code
        except requests.RequestException as error:
            self.outcome = type(error).__name__

    def end(self) -> int | str:
        self._thread.join(60)
        assert self.outcome
        return self.outcome


def _served(running: Running) -> bool:
    try:
        return requests.post(f"{running.url}/score", json=GOOD, timeout=5).status_code == 200
    except requests.RequestException:
        return False


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_worker_that_is_frozen_is_replaced(workers: str, image: Image, start: Start) -> None:
    running = start(image, SERVE_WORKERS=workers, SERVE_WATCHDOG="2")
    attack = Attack(running, "regex")
    until(lambda: FROZEN in running.logs())
    # What is not its own to answer any more is a connection that ends.
    assert attack.end() == "ConnectionError"
    until(lambda: _served(running))
    assert running.get("/health").status_code == 200
    assert running.logs().count("starting another") == 1


@pytest.mark.parametrize("mode", ["loop", "wait", "regex"])
def test_an_async_flow_that_blocks_is_replaced(mode: str, of_async: Image, start: Start) -> None:
    running = start(of_async, SERVE_WORKERS="2", SERVE_WATCHDOG="2")
    attack = Attack(running, mode)
    until(lambda: FROZEN in running.logs())
    assert attack.end() == "ConnectionError"
    until(lambda: _served(running))


def test_a_worker_continues_after_a_busy_period(image: Image, start: Start) -> None:
    running = start(image, SERVE_WORKERS="1", SERVE_WATCHDOG="30")
    assert Attack(running, "short regex").end() == 200
    assert _served(running)
    assert "starting another" not in running.logs()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_ends_a_frozen_worker(workers: str, image: Image, start: Start) -> None:
    running = start(image, SERVE_WORKERS=workers, SERVE_WATCHDOG="0", SERVE_GRACE="1")
    attack = Attack(running, "regex")
    until(lambda: _computes(running))
    running.container.kill("SIGTERM")
    assert running.exit_status() == 0
    assert attack.end() == "ConnectionError"
    assert "with request the-evil-one, and was killed" in running.logs()


def test_a_container_continues_after_a_pause(image: Image, start: Start) -> None:
    running = start(image, SERVE_WORKERS="2", SERVE_WATCHDOG="1")
    processes = footprint.processes(running.container)
    running.container.pause()
    # Of the time itself this is about; a slow machine only makes it longer.
    threading.Event().wait(5)
    running.container.unpause()
    assert all(_served(running) for _ in range(20))
    assert footprint.processes(running.container) == processes
    assert "starting another" not in running.logs()


@pytest.mark.parametrize("mode", ["wait", "loop"])
def test_a_worker_whose_threads_are_lost_is_replaced(mode: str, image: Image, start: Start) -> None:
    few = {"SERVE_THREADS": "2", "SERVE_QUEUE": "8", "SERVE_TIMEOUT": "1"}
    running = start(image, SERVE_WORKERS="1", **few)
    for _ in range(2):
        assert Attack(running, mode).end() == 504
    # Requests that wait are how it finds out, as probes are.
    until(lambda: _served(running) and "threads are lost" in running.logs())
    assert running.get("/health").status_code == 200


def test_one_endless_loop_holds_up_no_other_request(image: Image, start: Start) -> None:
    few = {"SERVE_THREADS": "4", "SERVE_QUEUE": "8", "SERVE_TIMEOUT": "1"}
    running = start(image, SERVE_WORKERS="1", **few)
    assert Attack(running, "loop").end() == 504
    until(lambda: _served(running))
    assert running.get("/health").status_code == 200
    assert "starting another" not in running.logs()


def _computes(running: Running) -> bool:
    """Tell whether the container has used a second of processor time since it was asked first."""
    counted: Any = running.container.stats(stream=False)
    used = counted["cpu_stats"]["cpu_usage"]["total_usage"]
    before = counted["precpu_stats"]["cpu_usage"]["total_usage"]
    return bool(used - before > 0.3e9)
