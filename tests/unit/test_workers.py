"""Processes and threads of the server: limits of the container, workers, lanes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.server import limits, watchdog, worker_status, workers
from deploy.server.adaptive_pool import AdaptivePool
from deploy.server.watchdog import Snapshot, ThreadState, Watchdog, read_threads
from deploy.server.worker_status import RunningRequest, WorkerStatus

ROOT = Path(__file__).parents[2]
MACHINE = len(os.sched_getaffinity(0))
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


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("max 100000", MACHINE),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("900000000 100000", MACHINE),
    ],
)
def test_processors_of_a_container(tmp_path: Path, quota: str, count: int) -> None:
    (tmp_path / "cpu.max").write_text(quota, encoding="ascii")
    assert limits.count_processors(tmp_path) == count


def test_processors_in_version_1_of_control_groups(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("100000\n", encoding="ascii")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n", encoding="ascii")
    assert limits.count_processors(tmp_path) == 1
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1\n", encoding="ascii")
    assert limits.count_processors(tmp_path) == MACHINE


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_memory_of_a_container(tmp_path: Path, name: str) -> None:
    (tmp_path / "memory").mkdir()
    machine = limits.read_memory_limit(tmp_path)
    (tmp_path / name).write_text("123456789\n", encoding="ascii")
    assert limits.read_memory_limit(tmp_path) == 123456789
    for unlimited in ("max\n", "9223372036854771712\n"):
        (tmp_path / name).write_text(unlimited, encoding="ascii")
        assert limits.read_memory_limit(tmp_path) == machine


def started(folder: Path, mode: str, frozen: float = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKERS, str(folder), mode, str(frozen)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, 20 s at most."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


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


def look(**states: float) -> Snapshot:
    """Return a look at threads: state and number, as in R1, and processor seconds."""
    return Snapshot({int(name[1:]): ThreadState(name[0], spent) for name, spent in states.items()})


@pytest.mark.parametrize(
    ("before", "now", "passed", "seconds"),
    [
        # It holds the interpreter and computes, or waits in C with it.
        (look(R1=1, S2=0), look(R1=2, S2=0), 1.0, 1.0),
        (look(S1=1, S2=0), look(S1=1, S2=0), 1.0, 1.0),
        # Other programs have the processor.
        (look(R1=1), look(R1=1.05), 1.0, 0.05),
        (look(R1=1), look(R1=1), 1.0, 0.0),
        # It waits for memory, or is stopped.
        (look(S1=1, D2=1), look(S1=1, D2=1), 1.0, 0.0),
        (look(T1=1, T2=1), look(T1=1, T2=1), 1.0, 0.0),
        # The container was paused for an hour, and this process with it.
        (look(S1=1), look(S1=1), 3600.0, 1.0),
        # Threads that let go of the interpreter count once.
        (look(R1=1, R2=1), look(R1=2, R2=2), 1.0, 1.0),
        # Nothing is known of the threads.
        (look(), look(), 1.0, 1.0),
    ],
)
def test_silence(before: Snapshot, now: Snapshot, passed: float, seconds: float) -> None:
    assert watchdog.measure_silence(before, now, passed) == pytest.approx(seconds)


def test_the_request_of_the_busiest_thread_is_named() -> None:
    running = [RunningRequest("a", 7), RunningRequest("b", 8), RunningRequest("c", 1)]
    busiest = watchdog.find_busiest_thread(look(S7=3, S8=1), look(S7=3, R8=2))
    assert watchdog.describe_requests(running, busiest) == "request b"
    assert watchdog.describe_requests(running, 99) == "request a, b, c"
    assert watchdog.describe_requests([], 8) == "no request"
    many = [RunningRequest(str(number), 7) for number in range(9)]
    assert watchdog.describe_requests(many, 7) == "request 0, 1, 2, 3, 4 and 4 more"


def test_a_board_shows_requests_while_they_run() -> None:
    board = WorkerStatus(2)
    with board.track_request("first"):
        assert board.list_running() == [RunningRequest("first", worker_status.EVENT_LOOP)]
        board.set_thread(worker_status.current_slot(), begins=True)
        assert [each.thread for each in board.list_running()] == [threading.get_native_id()]
        with board.track_request("x" * 128), board.track_request("one too many"):
            assert {each.request_id for each in board.list_running()} == {"first", "x" * 128}
    assert board.list_running() == []
    with board.track_request("again"):
        assert [each.request_id for each in board.list_running()] == ["again"]


def test_a_thread_is_an_obstacle_to_workers() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="poller")
    thread.start()
    known = {t.name for t in threading.enumerate() if t is not thread}
    assert "poller" in workers.find_fork_obstacle(known)
    done.set()
    thread.join()


def test_lanes_widen_for_functions_that_wait() -> None:
    async def scenario() -> int:
        lanes = AdaptivePool(16, asyncio.get_running_loop())
        together = threading.Barrier(16, timeout=10)
        # All sixteen must be inside at once, or the barrier breaks.
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(lanes, together.wait) for _ in range(16)))
        return threading.active_count()

    assert asyncio.run(scenario()) >= 16


def test_lanes_stay_few_for_functions_that_compute() -> None:
    inside: list[int] = []
    most: list[int] = []

    def compute() -> None:
        inside.append(1)
        most.append(len(inside))
        until = time.thread_time() + 0.002
        while time.thread_time() < until:
            pass
        inside.pop()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        lanes = AdaptivePool(64, loop)
        await asyncio.gather(*(loop.run_in_executor(lanes, compute) for _ in range(200)))

    asyncio.run(scenario())
    assert len(most) == 200
    # Where other programs use the processors too, a few more than one are seen.
    assert sorted(most)[100] <= 16


def test_a_function_that_fails_tells_so_and_frees_its_lane() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        lanes = AdaptivePool(1, loop)
        with pytest.raises(SystemExit):
            await loop.run_in_executor(lanes, sys.exit, 3)
        assert await loop.run_in_executor(lanes, lambda: 5) == 5

    asyncio.run(scenario())


def test_a_thread_that_is_lost_gives_its_lane_to_another() -> None:
    """Else one endless loop, which keeps the processor busy, would hold up all that wait."""
    ended = threading.Event()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        news: list[str] = []
        lanes = AdaptivePool(2, loop, limit=0.05, all_lost=lambda: news.append("all"))
        first = loop.run_in_executor(lanes, ended.wait)
        assert await loop.run_in_executor(lanes, lambda: 1) == 1
        second = loop.run_in_executor(lanes, ended.wait)
        waiting = loop.run_in_executor(lanes, lambda: 2)
        while not lanes.count_lost_threads():
            await asyncio.sleep(0.01)
        assert not waiting.done()
        assert lanes.count_lost_threads()
        assert news == ["all"]
        # They come back after all.
        ended.set()
        assert [await first, await second, await waiting] == [True, True, 2]
        assert not lanes.count_lost_threads()
        assert await loop.run_in_executor(lanes, lambda: 3) == 3

    try:
        asyncio.run(scenario())
    finally:
        ended.set()


def test_busy_threads_are_not_lost() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        ended = threading.Event()
        lanes = AdaptivePool(2, loop, limit=3600)
        both = [loop.run_in_executor(lanes, ended.wait) for _ in range(2)]
        assert not lanes.count_lost_threads()
        ended.set()
        await asyncio.gather(*both)

    asyncio.run(scenario())
