"""The container's main program: read the configuration, load the flow, listen on port 8080.

Runs as `python -m flow_server.serve` in the image, where /app/about.json describes the flow.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import connections, logs, redaction, settings, workers
from .scorer import Scorer, StartupError
from .settings import Settings
from .telemetry import destinations, setup
from .worker_status import WorkerStatus

if TYPE_CHECKING:
    import asyncio

    from .adaptive_pool import AdaptivePool

HOME = Path(__file__).resolve().parent.parent
PROMPTFLOW_TRACING = "promptflow.tracing._trace"
# A configuration error (BSD's sysexits). A container that ends with this exit code needs a
# different variable, not a restart.
EX_CONFIG = 78


def main() -> int:
    """Serve until SIGTERM, and return the exit code."""
    # Loaded modules are never garbage. Collecting while they load takes a quarter of the start.
    gc.disable()
    finish = redaction.redact_output(())
    try:
        config = settings.read(os.environ)
        about = json.loads((HOME / "about.json").read_text(encoding="utf-8"))
        resolved = connections.resolve(about["connections"], os.environ)
        hidden = (*resolved.secrets, *settings.list_secrets(os.environ))
        finish = redaction.redact_output((*hidden, *destinations.list_secrets(os.environ)))
        logs.start(config.log_level, config.log_format)
        if resolved.problems:
            raise StartupError("\n".join(resolved.problems))
        status = _serve(ServedFlow(about, resolved.connections, hidden, config))
    except StartupError as error:
        status = _report_startup_error(error)
    sys.stdout.flush()
    sys.stderr.flush()
    finish()
    return status


def _report_startup_error(error: StartupError) -> int:
    for line in str(error).splitlines():
        print(f"{settings.START_FAILURE}{line}", file=sys.stderr)
    return EX_CONFIG


@dataclass(frozen=True)
class ServedFlow:
    """The flow to serve, with its connections and settings."""

    # The content of about.json.
    about: Mapping[str, Any]
    connections: dict[str, dict[str, Any]]
    # Secrets, which must not appear in logs or telemetry.
    hidden: tuple[str, ...]
    config: Settings

    def load(self) -> Scorer:
        """Load the flow. Raise `StartupError` if that fails."""
        module = importlib.import_module(f".{self.about['scorer']}", __package__)
        scorer: Scorer = module.load(self.about, HOME / "flow", self.connections, self.config)
        logs.remove_foreign_handlers()
        return scorer


def _serve(served: ServedFlow) -> int:
    """Load the flow, and serve it with the number of worker processes from the settings."""
    count = served.config.workers
    # A single worker loads the flow itself, so that the process which supervises it stays small.
    if not served.config.preload or count == 1:
        return _run_workers(served, served.load, count)
    scorer = served.load()
    obstacle = workers.find_fork_obstacle({"redact-1", "redact-2"})
    if obstacle:
        hint = "SERVE_PRELOAD=false makes each worker load the flow itself"
        logging.getLogger("serve").warning(
            "one worker, and no watchdog, since %s: %s", obstacle, hint
        )
        return _run_worker(served, scorer, _bind_listener(), 0, WorkerStatus(0), watched=False)
    # Imported before the fork, so that all workers share the memory of these modules.
    importlib.import_module(".server", __package__)
    importlib.import_module(".app", __package__)
    return _run_workers(served, lambda: scorer, count)


def _bind_listener() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", settings.PORT))
    return listener


def _run_workers(served: ServedFlow, load: Callable[[], Scorer], count: int) -> int:
    listener = _bind_listener()
    config = served.config

    def work(number: int, board: WorkerStatus) -> int:
        try:
            return _run_worker(served, load(), listener, number, board, watched=True)
        except StartupError as error:
            return _report_startup_error(error)

    limits = workers.TimeLimits(config.watchdog, config.grace)
    slots = config.threads + config.queue
    return workers.run(count, work, slots, EX_CONFIG, limits, listener.close)


def _run_worker(
    served: ServedFlow,
    scorer: Scorer,
    listener: socket.socket,
    number: int,
    board: WorkerStatus,
    watched: bool,
) -> int:
    """Run worker `number` until SIGTERM; return its exit code.

    `watched` is true if another process restarts the worker when it ends.
    """
    import asyncio

    from .adaptive_pool import LOST_AFTER_TIMEOUTS, AdaptivePool
    from .app import Application
    from .server import Server

    about, config = served.about, served.config
    # After the fork: exporters run in threads, which a fork does not copy.
    sending = setup.start(os.environ, about, config.trace_content, served.hidden)
    if sending and PROMPTFLOW_TRACING in sys.modules:
        from .promptflow import tracing

        tracing.enable(config.trace_content)
    application = Application(scorer, about, config, board)

    def all_lost() -> None:
        line = "all %d threads are lost: each runs for longer than twice SERVE_TIMEOUT"
        logging.getLogger("serve").error(line, config.threads)
        if watched:
            # This worker finishes its requests, with 503 after the grace period, and is replaced.
            os.kill(os.getpid(), signal.SIGTERM)

    def executor(loop: asyncio.AbstractEventLoop) -> AdaptivePool:
        limit = config.timeout * LOST_AFTER_TIMEOUTS
        pool = AdaptivePool(config.threads, loop, limit=limit, board=board, all_lost=all_lost)
        application.threads_lost = pool.count_lost_threads
        return pool

    def begun() -> None:
        board.keep_beating(asyncio.get_running_loop())
        if number == 0:
            line = f"serving {about['flow']} {about['tag']} on port {settings.PORT}"
            logs.announce(line, config.log_format)

    # On these signals uvicorn drains, and then raises them again, which would kill this process.
    for stop_signal in workers.SIGNALS:
        signal.signal(stop_signal, lambda *_: None)
    # Loaded modules are never garbage. If the collector ignores them, their pages stay shared.
    gc.freeze()
    gc.enable()
    outer = sending.wrap(application) if sending else application
    Server(outer, listener, config, executor, begun, application.close).run()
    board.stop_beating()
    if sending:
        sending.stop()
    return 0


if __name__ == "__main__":
    # Threads of unfinished requests, or of the flow's own code, would keep the interpreter running.
    os._exit(main())
