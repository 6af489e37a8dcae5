"""How the server behaves, from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .scorer import CannotStart

PORT = 8080


@dataclass(frozen=True)
class Settings:
    """Threads for flows that are not async, bytes of body, seconds to drain, and what is logged."""

    threads: int = 64
    body_limit: int = 10 * 1024 * 1024
    grace: int = 20
    log_level: str = "info"


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`. Raises `CannotStart` where a value cannot be used."""
    return Settings(
        threads=_number(environ, "SERVE_THREADS", Settings.threads),
        body_limit=_number(environ, "SERVE_BODY_LIMIT", Settings.body_limit),
        grace=_number(environ, "SERVE_GRACE", Settings.grace),
        log_level=_level(environ),
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


def _level(environ: Mapping[str, str]) -> str:
    levels = ("debug", "info", "warning", "error")
    level = (environ.get("SERVE_LOG_LEVEL") or Settings.log_level).lower()
    if level not in levels:
        raise CannotStart(f"SERVE_LOG_LEVEL is {level!r}: set one of {', '.join(levels)}")
    return level
