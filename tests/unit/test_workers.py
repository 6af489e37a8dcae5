"""Processes and threads of the server: limits of the container, workers, lanes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deploy.runtime import limits, workers
from deploy.runtime.lanes import Lanes

ROOT = Path(__file__).parents[2]
MACHINE = len(os.sched_getaffinity(0))
WORKERS = f"""
import os, pathlib, signal, sys, time
sys.path.insert(0, {str(ROOT / "deploy")!r})
from runtime import workers
folder = pathlib.Path(sys.argv[1])
def work(number):
    (folder / f"{{number}}-{{os.getpid()}}").touch()
    if sys.argv[2] == "refuse" and number == 1:
        return 78
    signal.sigwait([signal.SIGTERM])
    return 0
signal.pthread_sigmask(signal.SIG_BLOCK, [])
sys.exit(workers.run(2, work, 78, (folder / "closed").touch))
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
    assert limits.processors(tmp_path) == count


def test_processors_in_version_1_of_control_groups(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("100000\n", encoding="ascii")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n", encoding="ascii")
    assert limits.processors(tmp_path) == 1
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1\n", encoding="ascii")
    assert limits.processors(tmp_path) == MACHINE


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_memory_of_a_container(tmp_path: Path, name: str) -> None:
    (tmp_path / "memory").mkdir()
    machine = limits.memory(tmp_path)
    (tmp_path / name).write_text("123456789\n", encoding="ascii")
    assert limits.memory(tmp_path) == 123456789
    for unlimited in ("max\n", "9223372036854771712\n"):
        (tmp_path / name).write_text(unlimited, encoding="ascii")
        assert limits.memory(tmp_path) == machine


def started(folder: Path, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKERS, str(folder), mode]
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


def test_a_thread_is_an_obstacle_to_workers() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="poller")
    thread.start()
    known = {t.name for t in threading.enumerate() if t is not thread}
    assert "poller" in workers.obstacle(known)
    done.set()
    thread.join()


def test_lanes_widen_for_functions_that_wait() -> None:
    async def scenario() -> int:
        lanes = Lanes(16, asyncio.get_running_loop())
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
        lanes = Lanes(64, loop)
        await asyncio.gather(*(loop.run_in_executor(lanes, compute) for _ in range(200)))

    asyncio.run(scenario())
    assert len(most) == 200
    # Where other programs use the processors too, a few more than one are seen.
    assert sorted(most)[100] <= 16


def test_a_function_that_fails_tells_so_and_frees_its_lane() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        lanes = Lanes(1, loop)
        with pytest.raises(SystemExit):
            await loop.run_in_executor(lanes, sys.exit, 3)
        assert await loop.run_in_executor(lanes, lambda: 5) == 5

    asyncio.run(scenario())
