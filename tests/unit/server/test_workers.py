"""The worker processes of a server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deploy.server.watchdog import Watchdog, read_threads
from deploy.server.worker_status import WorkerStatus
from tests.unit.server.polling import until

ROOT = Path(__file__).parents[3]
WORKERS = f"""
import os, pathlib, re, signal, sys, threading, time
sys.path.insert(0, {str(ROOT / "deploy")!r})
from server import worker_status, workers
folder, mode = pathlib.Path(sys.argv[1]), sys.argv[2]
def work(number, board):
    (folder / f"{{number}}-{{os.getpid()}}").touch()
    if mode == "refuse" and number == 1:
        return 78
    if mode == "crash":
        raise RuntimeError("cannot be imported")
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    while not ended:
        board.beat()
        if number == 1 and (folder / "freeze").exists():
            (folder / "freeze").unlink()
            def spin(slot):
                board.set_thread(slot, begins=True)
                re.match("(a+)+$", "a" * 60 + "!")
            with board.track_request("another"), board.track_request("the-evil-one"):
                threading.Thread(target=spin, args=(worker_status.current_slot(),)).start()
                # It does not come back from here.
                time.sleep(60)
        time.sleep(0.01)
    board.stop_beating()
    return 0
limits = workers.TimeLimits(frozen=float(sys.argv[3]), grace=1)
sys.exit(workers.run(2, work, 8, 78, limits, (folder / "closed").touch))
"""


def files(root: Path, **content: str) -> Path:
    for name, text in content.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


def started(folder: Path, mode: str, frozen: float = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKERS, str(folder), mode, str(frozen)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def pids(folder: Path, number: int, count: int = 1) -> list[int]:
    """Wait until worker `number` has begun `count` times; return its processes."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = [int(path.name.split("-")[1]) for path in folder.glob(f"{number}-*")]
        if len(found) >= count:
            return found
        threading.Event().wait(0.01)
    raise AssertionError(f"worker {number} began fewer than {count} times")


def test_sigterm_ends_all_workers(tmp_path: Path) -> None:
    process = started(tmp_path, "serve")
    both = [*pids(tmp_path, 0), *pids(tmp_path, 1)]
    assert not (tmp_path / "closed").exists()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert (tmp_path / "closed").exists()
    for worker in both:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_a_worker_that_is_killed_is_started_again(tmp_path: Path) -> None:
    process = started(tmp_path, "serve")
    (first,) = pids(tmp_path, 1)
    pids(tmp_path, 0)
    os.kill(first, signal.SIGKILL)
    assert len(pids(tmp_path, 1, count=2)) == 2
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "a worker ended with signal 9: starting another" in errors


def test_a_worker_that_cannot_start_ends_all(tmp_path: Path) -> None:
    process = started(tmp_path, "refuse")
    assert process.wait(20) == 78


def test_a_worker_that_fails_before_it_serves_ends_all(tmp_path: Path) -> None:
    process = started(tmp_path, "crash")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "RuntimeError: cannot be imported" in errors


def test_a_frozen_worker_is_replaced_and_its_request_is_named(tmp_path: Path) -> None:
    process = started(tmp_path, "serve", frozen=1)
    (first,) = pids(tmp_path, 1)
    (other,) = pids(tmp_path, 0)
    (tmp_path / "freeze").touch()
    assert first in pids(tmp_path, 1, count=2)
    assert pids(tmp_path, 0) == [other]
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    (line,) = errors.splitlines()
    line = re.sub(r"for \d s", "for x s", line)
    reason = "did not respond for x s with request the-evil-one, and was killed"
    assert line == f"a worker {reason}: starting another"


def test_a_frozen_worker_ends_with_the_grace_period(tmp_path: Path) -> None:
    process = started(tmp_path, "serve")
    both = [*pids(tmp_path, 0), *pids(tmp_path, 1)]
    (tmp_path / "freeze").touch()
    until(lambda: not (tmp_path / "freeze").exists())
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "with request the-evil-one, and was killed" in errors
    for worker in both:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_a_stopped_worker_is_no_frozen_one(tmp_path: Path) -> None:
    process = started(tmp_path, "serve", frozen=0.01)
    (first,) = pids(tmp_path, 1)
    os.kill(first, signal.SIGSTOP)
    until(lambda: {"T"} == {thread.state for thread in read_threads(first).values()})
    board = WorkerStatus(0)
    board.beat()
    watched = Watchdog(first, board)
    for _ in range(100):
        watched.check(1.0)
    assert watched.silent == 0.0
    os.kill(first, signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
