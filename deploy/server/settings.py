"""The server's settings, read from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import auth, limits, logs
from .scorer import StartupError

PORT = 8080
LOG_LEVELS = ("debug", "info", "warning", "error")

# Bytes that an additional worker needs: its own pages, and the shared pages that it changes later.
WORKER_MEMORY = 96 * 1024 * 1024
# Bytes that a running request needs without its body: for its thread, connections and objects.
REQUEST_MEMORY = 512 * 1024
# Copies in memory of a body that is one long text: bytes, text, input, and part of the response.
BODY_COPIES = 4
MAX_THREADS = 128
MIN_CONNECTIONS = 256
# Identifies the deployment: image and variables. The same image may run elsewhere with different
# variables.
DEPLOYMENT_VARIABLE = "SERVE_DEPLOYMENT"
# App Service passes this text on if it cannot read the secret from the key vault ("Use Key Vault
# references as app settings").
UNRESOLVED_REFERENCE = "@Microsoft.KeyVault("
# The prefix of lines that say why a container cannot start, and the reason for such a value. The
# deployer finds both in the log.
START_FAILURE = "cannot start: "
UNRESOLVED_MESSAGE = "is a reference to a key vault that could not be read"


@dataclass(frozen=True)
class Settings:
    """The settings of the server."""

    # Worker processes.
    workers: int = 1
    # Requests that one worker runs at the same time, and requests that wait in it.
    threads: int = MAX_THREADS
    queue: int = 512
    # Seconds for one request.
    timeout: int = 170
    # Seconds for which one request may wait before it calls a busy model again, in total.
    retry_budget: int = 5
    # Bytes of one body.
    body_limit: int = 10 * 1024 * 1024
    # Bytes of all bodies, inputs and responses of one worker together.
    request_memory: int = 256 * 1024 * 1024
    # Seconds for running requests after SIGTERM.
    grace: int = 20
    # Seconds after which a worker with a blocked event loop is replaced; 0 for never.
    watchdog: int = 30
    # Keys that authenticate clients; empty if no authentication is required.
    keys: tuple[str, ...] = field(default=(), repr=False)
    # The name of the deployment in /version; empty if the deployer has set none.
    deployment: str = ""
    log_level: str = "info"
    log_format: str = logs.TEXT
    # Whether traces contain inputs, outputs and prompts.
    trace_content: bool = False
    # Whether flows run with `promptflow.patches` (SERVE_SHORTCUTS).
    patches: bool = True
    # Whether `fast_client` sends requests to models: only together with `patches`.
    fast_client: bool = True
    # Whether the flow is loaded once, before the workers are forked.
    preload: bool = True

    @property
    def connections(self) -> int:
        """Return how many client connections a worker keeps open: more than it accepts requests.

        At most half of the limit of open files: the flow needs connections of its own.
        """
        desired = max(MIN_CONNECTIONS, 2 * (self.threads + self.queue))
        return max(1, min(desired, limits.read_open_files_limit() // 2))


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`, with defaults that fit the limits of the container.

    Raises `StartupError` if a value is not valid.
    """
    _reject_unresolved_secrets(environ)
    memory = limits.read_memory_limit()
    max_workers = max(1, memory // (2 * WORKER_MEMORY))
    workers = _number(environ, "SERVE_WORKERS", min(limits.count_processors(), max_workers))
    fitting_threads = memory // (2 * workers * REQUEST_MEMORY)
    threads = _number(environ, "SERVE_THREADS", max(8, min(MAX_THREADS, fitting_threads)))
    share = memory // (4 * workers)
    default_body_limit = min(Settings.body_limit, share // BODY_COPIES)
    body_limit = _number(environ, "SERVE_BODY_LIMIT", default_body_limit)
    patches = _flag(environ, "SERVE_SHORTCUTS", True)
    return Settings(
        workers=workers,
        threads=threads,
        queue=_number(environ, "SERVE_QUEUE", 4 * threads, least=0),
        timeout=_number(environ, "SERVE_TIMEOUT", Settings.timeout),
        retry_budget=_number(environ, "SERVE_MODEL_PATIENCE", Settings.retry_budget, least=0),
        body_limit=body_limit,
        request_memory=max(BODY_COPIES * body_limit, share),
        grace=_number(environ, "SERVE_GRACE", Settings.grace),
        watchdog=_number(environ, "SERVE_WATCHDOG", Settings.watchdog, least=0),
        keys=auth.read_keys(environ),
        deployment=environ.get(DEPLOYMENT_VARIABLE, ""),
        log_level=_choice(environ, "SERVE_LOG_LEVEL", LOG_LEVELS, Settings.log_level),
        log_format=_choice(environ, "SERVE_LOG_FORMAT", logs.FORMATS, Settings.log_format),
        trace_content=_flag(environ, "SERVE_TRACE_CONTENT", False),
        patches=patches,
        fast_client=_flag(environ, "SERVE_FAST_CLIENT", True) and patches,
        preload=_flag(environ, "SERVE_PRELOAD", True),
    )


def list_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys of the server and the values of the variables that SERVE_SECRETS lists."""
    return tuple(environ[name] for name in _secret_names(environ) if environ.get(name))


def _secret_names(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that contain secrets; SERVE_SECRETS lists them, separated by commas."""
    return [*environ.get("SERVE_SECRETS", "").split(","), *auth.KEY_VARIABLES]


def _reject_unresolved_secrets(environ: Mapping[str, str]) -> None:
    names = _secret_names(environ)
    lines = [
        f"{name} {UNRESOLVED_MESSAGE}: check that the secret exists, and that the "
        "identity of this app has the role Key Vault Secrets User"
        for name in names
        if environ.get(name, "").startswith(UNRESOLVED_REFERENCE)
    ]
    if lines:
        raise StartupError("\n".join(lines))


def _number(environ: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise StartupError(
            f"{name} is {text!r}: set a whole number, {least} or more, or unset it for {default}"
        )
    return int(text)


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = (environ.get(name) or default).lower()
    if value not in choices:
        raise StartupError(f"{name} is {value!r}: set one of {', '.join(choices)}")
    return value


def _flag(environ: Mapping[str, str], name: str, default: bool) -> bool:
    return _choice(environ, name, ("true", "false"), str(default).lower()) == "true"
