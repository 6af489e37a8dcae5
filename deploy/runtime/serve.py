"""Serve one flow: read the configuration, load the flow, listen on port 8080.

Run as `python -m runtime.serve` in the image, where /app/about.json says what the flow is.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
from pathlib import Path

import anyio.to_thread
import uvicorn

from . import app, connections, redaction, settings
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
        finish = redaction.redact_output((*resolved.secrets, *settings.secrets(os.environ)))
        _log_to_stderr(config.log_level)
        if resolved.problems:
            raise CannotStart("\n".join(resolved.problems))
        _serve(_load(about, resolved.connections), about, config)
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


def _serve(scorer: Scorer, about: dict[str, object], config: settings.Settings) -> None:
    application = app.create(scorer, about, config.body_limit)
    # uvicorn drains on these signals and then sends them to itself again, which would end this
    # process as killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
            # The limiter belongs to the event loop, so it can be set only once that runs.
            anyio.to_thread.current_default_thread_limiter().total_tokens = config.threads
            await super().startup(sockets)  # type: ignore[arg-type]
            print(f"serving {about['flow']} {about['tag']} on port {settings.PORT}", flush=True)

    Server(
        uvicorn.Config(
            application,
            host="0.0.0.0",
            port=settings.PORT,
            lifespan="off",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=config.grace,
            server_header=False,
            ws="none",
        )
    ).run()


if __name__ == "__main__":
    # Threads of requests that outlived the grace period, or of the flow's own, would keep the
    # interpreter.
    os._exit(main())
