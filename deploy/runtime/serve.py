"""Serve one flow: read the configuration, load the flow, listen on port 8080.

Run as `python -m runtime.serve` in the image, where /app/about.json says what the flow is.
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

from . import connections, logs, redaction, settings, telemetry, workers
from .scorer import CannotStart, Scorer
from .settings import Settings
from .vitals import Board

if TYPE_CHECKING:
    import asyncio

    from .lanes import Lanes

HOME = Path(__file__).resolve().parent.parent
# BSD's sysexits: a configuration error. A container that ends with it needs another variable, not
# another try.
EX_CONFIG = 78


def main() -> int:
    """Serve until SIGTERM; return the exit status."""
    # What is loaded stays: looking for garbage in it meanwhile takes a quarter of the start.
    gc.disable()
    finish = redaction.redact_output(())
    try:
        config = settings.read(os.environ)
        about = json.loads((HOME / "about.json").read_text(encoding="utf-8"))
        resolved = connections.resolve(about["connections"], os.environ)
        hidden = (*resolved.secrets, *settings.secrets(os.environ))
        finish = redaction.redact_output((*hidden, *telemetry.secrets(os.environ)))
        logs.start(config.log_level, config.log_format)
        if resolved.problems:
            raise CannotStart("\n".join(resolved.problems))
        status = _serve(Served(about, resolved.connections, hidden, config))
    except CannotStart as error:
        status = _refuse(error)
    sys.stdout.flush()
    sys.stderr.flush()
    finish()
    return status


def _refuse(error: CannotStart) -> int:
    for line in str(error).splitlines():
        print(f"cannot start: {line}", file=sys.stderr)
    return EX_CONFIG


@dataclass(frozen=True)
class Served:
    """What is served and how; `hidden` are secrets."""

    about: Mapping[str, Any]
    connections: dict[str, dict[str, Any]]
    hidden: tuple[str, ...]
    config: Settings

    def load(self) -> Scorer:
        """Load the flow. Raises `CannotStart`."""
        module = importlib.import_module(f".{self.about['scorer']}", __package__)
        scorer: Scorer = module.load(self.about, HOME / "flow", self.connections, self.config)
        logs.adopt()
        return scorer


def _serve(served: Served) -> int:
    """Load the flow, then serve it by as many processes as the settings say."""
    count = served.config.workers
    # A single worker loads the flow for itself: the process that watches it stays small.
    if not served.config.preload or count == 1:
        return _start(served, served.load, count)
    scorer = served.load()
    obstacle = workers.obstacle({"redact-1", "redact-2"})
    if obstacle:
        hint = "SERVE_PRELOAD=false makes each worker load it for itself"
        logging.getLogger("serve").warning(
            "one worker, and no watchdog, since %s: %s", obstacle, hint
        )
        return _work(served, scorer, _listener(), 0, Board(0), watched=False)
    # Here, not in the workers: all of them share what it imports.
    importlib.import_module(".server", __package__)
    importlib.import_module(".app", __package__)
    return _start(served, lambda: scorer, count)


def _listener() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", settings.PORT))
    return listener


def _start(served: Served, load: Callable[[], Scorer], count: int) -> int:
    listener = _listener()
    config = served.config

    def work(number: int, board: Board) -> int:
        try:
            return _work(served, load(), listener, number, board, watched=True)
        except CannotStart as error:
            return _refuse(error)

    limits = workers.Limits(config.watchdog, config.grace)
    slots = config.threads + config.queue
    return workers.run(count, work, slots, EX_CONFIG, limits, listener.close)


def _work(
    served: Served,
    scorer: Scorer,
    listener: socket.socket,
    number: int,
    board: Board,
    watched: bool,
) -> int:
    """Be worker `number`, until SIGTERM; `watched` tells whether another process starts it anew."""
    import asyncio

    from .app import Application
    from .lanes import LOST_AFTER, Lanes
    from .server import Server

    about, config = served.about, served.config
    # Its exporters are threads, which a fork would not copy.
    sending = telemetry.start(os.environ, about, config.trace_content, served.hidden)
    application = Application(scorer, about, config, board)

    def all_lost() -> None:
        line = "all %d threads are lost: each runs for longer than twice SERVE_TIMEOUT"
        logging.getLogger("serve").error(line, config.threads)
        if watched:
            # It answers what has arrived, with 503 at last, and another worker takes its place.
            os.kill(os.getpid(), signal.SIGTERM)

    def executor(loop: asyncio.AbstractEventLoop) -> Lanes:
        limit = config.timeout * LOST_AFTER
        lanes = Lanes(config.threads, loop, limit=limit, board=board, all_lost=all_lost)
        application.threads_lost = lanes.count_lost
        return lanes

    def begun() -> None:
        board.keep_beating(asyncio.get_running_loop())
        if number == 0:
            line = f"serving {about['flow']} {about['tag']} on port {settings.PORT}"
            logs.announce(line, config.log_format)

    # uvicorn drains on these signals and then sends them to itself again, which would end this
    # process as killed.
    for each in workers.SIGNALS:
        signal.signal(each, lambda *_: None)
    # What was loaded is never garbage; left alone, its pages stay shared.
    gc.freeze()
    gc.enable()
    outer = sending.wrap(application) if sending else application
    Server(outer, listener, config, executor, begun, application.close).run()
    board.rest()
    if sending:
        sending.stop()
    return 0


if __name__ == "__main__":
    # Threads of requests that outlived the grace period, or of the flow's own, would keep the
    # interpreter.
    os._exit(main())
