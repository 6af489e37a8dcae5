"""Load from many clients at once, each of which sends its next request once it has an answer.

The clients are `wrk`: it takes a twentieth of the processor time of clients in Python, and the
machine's processors are what the server is to have.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from deploy.core.errors import DeployError
from deploy.docker import installation

SCRIPT = Path(__file__).with_name("wrk.lua")
# Above what any answer takes: a request that is given up is missing in the percentiles.
TIMEOUT_SECONDS = 120
# A client's first requests find a queue that is still short. With this many a client at least, they
# do not decide what is measured.
REQUESTS_A_CLIENT = 3
LONGEST_SECONDS = 60
# How many quick answers in a row show that nothing of the last load is left in a queue.
QUICK_ANSWERS = 3
SETTLE_SECONDS = 60


@dataclass(frozen=True)
class Load:
    """What a number of clients got.

    `rate` is of answers with 2xx or 3xx a second; `p50` and `p99` are latencies in seconds, of all
    answers; `errors` are other answers and connections that failed or broke.
    """

    rate: float
    p50: float
    p99: float
    errors: int


def ensure_wrk() -> None:
    """Return once `wrk` is there; as root on Debian and Ubuntu, install it.

    Raises `DeployError` with the next command elsewhere.
    """
    if shutil.which("wrk"):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        what = "the benchmark makes load with it, and it is not installed"
        raise DeployError("wrk", what, "install the package wrk, then try again")
    installation.install_packages("wrk")


def seconds_for(clients: int, rate: float, least: float) -> float:
    """Return how long to load with `clients` what answers `rate` requests a second."""
    enough = REQUESTS_A_CLIENT * clients / rate if rate else LONGEST_SECONDS
    return max(least, min(enough, LONGEST_SECONDS))


def run(
    url: str, body: Any, clients: int, seconds: float, meanwhile: Callable[[], None] | None = None
) -> Load:
    """Load `url` with `clients` for `seconds`; call `meanwhile` after two thirds of them.

    Raises `RuntimeError` where wrk fails.
    """
    whole = max(1, round(seconds))
    command = ["wrk", "--threads", "1", "--connections", str(clients), "--duration", f"{whole}s"]
    command += ["--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(SCRIPT), url]
    command += ["--", json.dumps(body)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        if meanwhile:
            time.sleep(whole * 2 / 3)
            meanwhile()
        output, complaint = process.communicate(timeout=seconds + TIMEOUT_SECONDS)
    if process.returncode:
        raise RuntimeError(f"wrk ended with {process.returncode}: {complaint or output}")
    return parsed(output)


def parsed(output: str) -> Load:
    """Return what wrk.lua reported at the end of wrk's `output`."""
    report = json.loads(output.strip().splitlines()[-1])
    good = report["requests"] - report["status"]
    return Load(
        rate=good / (report["duration"] / 1e6),
        p50=report["p50"] / 1e6,
        p99=report["p99"] / 1e6,
        errors=report["status"] + report["broken"],
    )


def settle(url: str, body: Any, quick: float) -> None:
    """Wait until `url` answers within twice `quick` seconds, several times in a row.

    The requests that were under way when a load ended get no reader; a server that has
    queued them would pay for them during the next load.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    in_a_row = 0
    while in_a_row < QUICK_ANSWERS and time.monotonic() < deadline:
        in_a_row = in_a_row + 1 if answer_seconds(url, body) <= 2 * quick else 0


def answer_seconds(url: str, body: Any) -> float:
    """Return how long one request takes on a connection of its own."""
    began = time.monotonic()
    with requests.Session() as session:
        # A proxy for the internet does not lead to this machine.
        session.trust_env = False
        session.post(url, json=body, timeout=TIMEOUT_SECONDS)
    return time.monotonic() - began
