"""Serve one flow: read the configuration, load the flow, listen on port 8080.

Run as `python -m runtime.serve` in the image, where /app/about.json says what the flow is.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path

import anyio.to_thread
import uvicorn
from starlette.types import ASGIApp

from . import app, connections, logs, redaction, settings, telemetry
from .scorer import CannotStart, Scorer

HOME = Path(__file__).resolve().parent.parent
# BSD's sysexits: a configuration error. A container that ends with it needs another variable, not
# another try.
EX_CONFIG = 78

# The module that scores each kind of flow. A further kind is one line here and one in
# deploy/kinds.py.
SCORERS = {
    "dag": "promptflow_scorer",
    "flex": "promptflow_scorer",
    "prompty": "promptflow_scorer",
}


def main() -> int:
    """Serve until SIGTERM; return the exit status."""
    finish = redaction.redact_output(())
    try:
        config = settings.read(os.environ)
        about = json.loads((HOME / "about.json").read_text(encoding="utf-8"))
        resolved = connections.resolve(about["connections"], os.environ)
        named = (*resolved.secrets, *settings.secrets(os.environ))
        finish = redaction.redact_output((*named, *telemetry.secrets(os.environ)))
        logs.start(config.log_level, config.log_format)
        if resolved.problems:
            raise CannotStart("\n".join(resolved.problems))
        scorer = _load(about, resolved.connections)
        logs.adopt()
        sending = telemetry.start(os.environ, about, config.trace_content, named)
        _serve(scorer, about, config, sending)
        status = 0
    except CannotStart as error:
        for line in str(error).splitlines():
            print(f"cannot start: {line}", file=sys.stderr)
        status = EX_CONFIG
    sys.stdout.flush()
    sys.stderr.flush()
    finish()
    return status


def _load(about: dict[str, object], found: dict[str, dict[str, object]]) -> Scorer:
    module = importlib.import_module(f".{SCORERS[str(about['kind'])]}", __package__)
    scorer: Scorer = module.load(about, HOME / "flow", found)
    return scorer


def _serve(
    scorer: Scorer,
    about: dict[str, object],
    config: settings.Settings,
    sending: telemetry.Telemetry | None,
) -> None:
    application: ASGIApp = app.create(scorer, about, config.body_limit)
    if sending:
        application = sending.wrap(application)
    # uvicorn drains on these signals and then sends them to itself again, which would end this
    # process as killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
            # The limiter belongs to the event loop, so it can be set only once that runs.
            anyio.to_thread.current_default_thread_limiter().total_tokens = config.threads
            await super().startup(sockets)  # type: ignore[arg-type]
            line = f"serving {about['flow']} {about['tag']} on port {settings.PORT}"
            logs.announce(line, config.log_format)

    Server(
        uvicorn.Config(
            application,
            host="0.0.0.0",
            port=settings.PORT,
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=config.grace,
            server_header=False,
            ws="none",
        )
    ).run()
    if sending:
        sending.stop()


if __name__ == "__main__":
    # Threads of requests that outlived the grace period, or of the flow's own, would keep the
    # interpreter.
    os._exit(main())
