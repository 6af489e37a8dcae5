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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import connections, redaction, settings, workers
from .scorer import CannotStart, Scorer
from .settings import Settings

HOME = Path(__file__).resolve().parent.parent
# BSD's sysexits: a configuration error. A container that ends with it needs another variable, not
# another try.
EX_CONFIG = 78

# The module that scores each kind of flow. A further kind is one line here and one in
# deploy/kinds.py.
SCORERS = {
    "dag": "pf.loading",
    "flex": "pf.loading",
    "prompty": "pf.loading",
}


def main() -> int:
    """Serve until SIGTERM; return the exit status."""
    # What is loaded stays: looking for garbage in it meanwhile takes a quarter of the start.
    gc.disable()
    finish = redaction.redact_output(())
    try:
        config = settings.read(os.environ)
        about = json.loads((HOME / "about.json").read_text(encoding="utf-8"))
        resolved = connections.resolve(about["connections"], os.environ)
        finish = redaction.redact_output((*resolved.secrets, *settings.secrets(os.environ)))
        _log_to_stderr(config.log_level)
        if resolved.problems:
            raise CannotStart("\n".join(resolved.problems))
        status = _serve(about, resolved.connections, config)
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


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # promptflow and the OpenAI client write lines of every request, promptflow's with its inputs.
    for noisy in ("promptflow", "execution", "httpx", "httpx2", "openai", "azure"):
        logging.getLogger(noisy).setLevel(max(logging.getLogger().level, logging.WARNING))
    # It repeats each failure, which is logged already.
    logging.getLogger("promptflow.invoker").setLevel(logging.CRITICAL)


def _serve(about: dict[str, Any], found: dict[str, dict[str, Any]], config: Settings) -> int:
    """Load the flow, then serve it by `config.workers` processes."""
    if not config.preload:
        return _work(lambda: _load(about, found, config), about, config)
    scorer = _load(about, found, config)
    obstacle = workers.obstacle({"redact-1", "redact-2"}) if config.workers > 1 else ""
    if obstacle:
        hint = "SERVE_PRELOAD=off makes each worker load it for itself"
        logging.getLogger("serve").warning("one worker, since %s: %s", obstacle, hint)
        config = replace(config, workers=1)
    return _work(lambda: scorer, about, config)


def _load(about: dict[str, Any], found: dict[str, dict[str, Any]], config: Settings) -> Scorer:
    module = importlib.import_module(f".{SCORERS[str(about['kind'])]}", __package__)
    scorer: Scorer = module.load(about, HOME / "flow", found, config)
    return scorer


def _work(load: Callable[[], Scorer], about: dict[str, Any], config: Settings) -> int:
    # Here, not in the workers: all of them share what it imports.
    from .app import Application
    from .server import Server

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", settings.PORT))

    def work(number: int) -> int:
        try:
            application = Application(load(), about, config)
        except CannotStart as error:
            return _refuse(error)
        # uvicorn drains on these signals and then sends them to itself again, which would end this
        # process as killed.
        for each in workers.SIGNALS:
            signal.signal(each, lambda *_: None)
        # What was loaded is never garbage; left alone, its pages stay shared.
        gc.freeze()
        gc.enable()
        started = f"serving {about['flow']} {about['tag']} on port {settings.PORT}"
        Server(application, listener, config, started if number == 0 else "").run()
        return 0

    return work(0) if config.workers == 1 else workers.run(config.workers, work, EX_CONFIG)


if __name__ == "__main__":
    # Threads of requests that outlived the grace period, or of the flow's own, would keep the
    # interpreter.
    os._exit(main())
