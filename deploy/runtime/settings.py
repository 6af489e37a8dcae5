"""How the server behaves, from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import logs
from .scorer import CannotStart

PORT = 8080
LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Settings:
    """Threads for flows that are not async, bytes, seconds to drain, what is logged and traced."""

    threads: int = 64
    body_limit: int = 10 * 1024 * 1024
    grace: int = 20
    log_level: str = "info"
    log_format: str = logs.TEXT
    trace_content: bool = False


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`. Raises `CannotStart` where a value cannot be used."""
    return Settings(
        threads=_number(environ, "SERVE_THREADS", Settings.threads),
        body_limit=_number(environ, "SERVE_BODY_LIMIT", Settings.body_limit),
        grace=_number(environ, "SERVE_GRACE", Settings.grace),
        log_level=_choice(environ, "SERVE_LOG_LEVEL", LEVELS, Settings.log_level),
        log_format=_choice(environ, "SERVE_LOG_FORMAT", logs.FORMATS, Settings.log_format),
        trace_content=_choice(environ, "SERVE_TRACE_CONTENT", ("true", "false"), "false") == "true",
    )


def secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of the variables that SERVE_SECRETS names, separated by commas."""
    names = environ.get("SERVE_SECRETS", "").split(",")
    return tuple(environ[name] for name in names if environ.get(name))


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise CannotStart(
            f"{name} is {text!r}: set a whole number above 0, or nothing for {default}"
        )
    return int(text)


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = (environ.get(name) or default).lower()
    if value not in choices:
        raise CannotStart(f"{name} is {value!r}: set one of {', '.join(choices)}")
    return value
