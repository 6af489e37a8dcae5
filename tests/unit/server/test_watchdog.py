"""Threads that hold the interpreter, and the request that caused it."""

from __future__ import annotations

import threading

import pytest

from deploy.server import watchdog, worker_status, workers
from deploy.server.watchdog import Snapshot, ThreadState
from deploy.server.worker_status import RunningRequest, WorkerStatus


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
