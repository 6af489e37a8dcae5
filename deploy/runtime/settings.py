"""How the server behaves, from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import access, limits, logs
from .scorer import CannotStart

PORT = 8080
LEVELS = ("debug", "info", "warning", "error")

# What one more worker takes: its own pages, and those that it shares no longer after a while.
WORKER_MEMORY = 96 * 1024 * 1024
# What a request in work takes, without its body: its thread, its connections, its objects.
REQUEST_MEMORY = 512 * 1024
# What a body takes that is one long text: as bytes, as text, as an input, as a part of the answer.
BODY_COPIES = 4
MOST_THREADS = 128
LEAST_CONNECTIONS = 256
# Names what was deployed: image and variables. The same image may run with others elsewhere.
DEPLOYMENT = "SERVE_DEPLOYMENT"
# What App Service hands over in place of a secret that it could not get from its vault ("Use Key
# Vault references as app settings").
UNRESOLVED = "@Microsoft.KeyVault("


@dataclass(frozen=True)
class Settings:
    """How the server behaves.

    `threads` and `queue` are requests of one worker: in work, and waiting; `request_memory` the
    bytes that their bodies, inputs and answers may take together, `body_limit` those of one body.
    `timeout`, `patience` and `grace` are seconds: for a request, for asking a model again, and to
    drain. After `watchdog` seconds a worker whose event loop does not turn is replaced; 0 for
    never. `keys` authenticate clients; without one none need to. `deployment` is what /version
    calls the deployment, if the deployer named it.
    """

    workers: int = 1
    threads: int = MOST_THREADS
    queue: int = 512
    timeout: int = 170
    patience: int = 5
    body_limit: int = 10 * 1024 * 1024
    request_memory: int = 256 * 1024 * 1024
    grace: int = 20
    watchdog: int = 30
    keys: tuple[str, ...] = field(default=(), repr=False)
    deployment: str = ""
    log_level: str = "info"
    log_format: str = logs.TEXT
    trace_content: bool = False
    shortcuts: bool = True
    preload: bool = True

    @property
    def connections(self) -> int:
        """How many clients' connections a worker keeps open: more than the requests it takes on.

        Half of the open files at most: the flow has connections of its own.
        """
        wanted = max(LEAST_CONNECTIONS, 2 * (self.threads + self.queue))
        return max(1, min(wanted, limits.open_files() // 2))


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`; where it has none, what fits the container's limits.

    Raises `CannotStart` where a value cannot be used.
    """
    _refuse_unresolved(environ)
    memory = limits.memory()
    fitting = max(1, memory // (2 * WORKER_MEMORY))
    workers = _number(environ, "SERVE_WORKERS", min(limits.processors(), fitting))
    room = memory // (2 * workers * REQUEST_MEMORY)
    threads = _number(environ, "SERVE_THREADS", max(8, min(MOST_THREADS, room)))
    share = memory // (4 * workers)
    fitting_body = min(Settings.body_limit, share // BODY_COPIES)
    body_limit = _number(environ, "SERVE_BODY_LIMIT", fitting_body)
    return Settings(
        workers=workers,
        threads=threads,
        queue=_number(environ, "SERVE_QUEUE", 4 * threads, least=0),
        timeout=_number(environ, "SERVE_TIMEOUT", Settings.timeout),
        patience=_number(environ, "SERVE_MODEL_PATIENCE", Settings.patience, least=0),
        body_limit=body_limit,
        request_memory=max(BODY_COPIES * body_limit, share),
        grace=_number(environ, "SERVE_GRACE", Settings.grace),
        watchdog=_number(environ, "SERVE_WATCHDOG", Settings.watchdog, least=0),
        keys=access.keys(environ),
        deployment=environ.get(DEPLOYMENT, ""),
        log_level=_choice(environ, "SERVE_LOG_LEVEL", LEVELS, Settings.log_level),
        log_format=_choice(environ, "SERVE_LOG_FORMAT", logs.FORMATS, Settings.log_format),
        trace_content=_choice(environ, "SERVE_TRACE_CONTENT", ("true", "false"), "false") == "true",
        shortcuts=_choice(environ, "SERVE_SHORTCUTS", ("true", "false"), "true") == "true",
        preload=_choice(environ, "SERVE_PRELOAD", ("true", "false"), "true") == "true",
    )


def secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys, and the values of the variables that SERVE_SECRETS names."""
    return tuple(environ[name] for name in _secret_names(environ) if environ.get(name))


def _secret_names(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that hold secrets: SERVE_SECRETS has them separated by commas."""
    return [*environ.get("SERVE_SECRETS", "").split(","), *access.NAMES]


def _refuse_unresolved(environ: Mapping[str, str]) -> None:
    names = _secret_names(environ)
    lines = [
        f"{name} is a reference to a vault that could not be read: does the secret exist, and has "
        "the identity of what runs here the role Key Vault Secrets User?"
        for name in names
        if environ.get(name, "").startswith(UNRESOLVED)
    ]
    if lines:
        raise CannotStart("\n".join(lines))


def _number(environ: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise CannotStart(
            f"{name} is {text!r}: set a whole number, {least} or more, or nothing for {default}"
        )
    return int(text)


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = (environ.get(name) or default).lower()
    if value not in choices:
        raise CannotStart(f"{name} is {value!r}: set one of {', '.join(choices)}")
    return value
