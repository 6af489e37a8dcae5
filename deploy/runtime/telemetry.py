"""Traces and metrics of the served flow, where variables say where to send them.

This module decides and imports next to nothing; what OpenTelemetry brings is imported once a
destination is named. Nothing here raises: a flow is served with or without its telemetry.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from starlette.types import ASGIApp

log = logging.getLogger("serve.telemetry")

AZURE = "APPLICATIONINSIGHTS_CONNECTION_STRING"
OTLP = "OTEL_EXPORTER_OTLP"
TRACES = "TRACES"
METRICS = "METRICS"
# The one protocol whose exporter is in the image.
PROTOCOL = "http/protobuf"
# promptflow asks for it at each call that it may trace.
SWITCH = "PF_DISABLE_TRACING"
PROMPTFLOW = "promptflow.tracing._trace"


@dataclass(frozen=True)
class Destinations:
    """Where to: each signal (TRACES, METRICS) that OTLP takes, and Azure's connection string.

    `problems` are lines for the log, about what is set and cannot be done.
    """

    otlp: tuple[str, ...] = ()
    azure: str = ""
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.otlp or self.azure)


def destinations(environ: Mapping[str, str]) -> Destinations:
    """Read the variables of OpenTelemetry's specification and of Application Insights.

    "OpenTelemetry Environment Variable Specification"; an empty variable counts as not set there.
    """
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Destinations()
    signals = []
    problems = []
    for signal in (TRACES, METRICS):
        endpoint = environ.get(f"{OTLP}_{signal}_ENDPOINT") or environ.get(f"{OTLP}_ENDPOINT")
        if not endpoint or environ.get(f"OTEL_{signal}_EXPORTER") == "none":
            continue
        protocol = environ.get(f"{OTLP}_{signal}_PROTOCOL") or environ.get(f"{OTLP}_PROTOCOL")
        if protocol and protocol != PROTOCOL:
            problems.append(
                f"no {signal.lower()} are sent: {OTLP}_PROTOCOL is {protocol!r}, and the image has "
                f"{PROTOCOL} alone: unset it, and name the collector's port for HTTP"
            )
            continue
        signals.append(signal)
    return Destinations(tuple(signals), environ.get(AZURE, ""), tuple(problems))


def secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what must not be printed: the keys of collectors, within values and as a whole."""
    found = [environ.get(AZURE, "")]
    found += [
        value
        for part in environ.get(AZURE, "").split(";")
        for name, _, value in [part.partition("=")]
        if name.strip().lower() == "instrumentationkey"
    ]
    for signal in ("", f"{TRACES}_", f"{METRICS}_"):
        pairs = environ.get(f"{OTLP}_{signal}HEADERS", "").split(",")
        values = [pair.partition("=")[2].strip() for pair in pairs]
        # "Authorization=Bearer%20abc": the service may quote the token alone.
        found += [part for value in values for part in (value, *value.replace("%20", " ").split())]
    return tuple(dict.fromkeys(value for value in found if value))


def start(
    environ: MutableMapping[str, str],
    about: Mapping[str, Any],
    content: bool = False,
    hidden: Iterable[str] = (),
) -> Telemetry | None:
    """Start sending where `environ` (of the process) says, or return None.

    To be called in each process that serves, after the fork and after the flow is loaded: it starts
    threads. `about` is that of the image. `content` lets inputs, outputs and prompts be sent;
    `hidden` are secrets, which never are.
    """
    wanted = destinations(environ)
    for problem in wanted.problems:
        log.warning("%s", problem)
    sending = None
    if wanted:
        try:
            from . import telemetry_export

            sending = telemetry_export.start(wanted, about, content, (*hidden, *secrets(environ)))
        except Exception as error:
            # A bad value of one of OpenTelemetry's many variables is not worth an outage.
            reason = " ".join(str(error).split())
            log.warning("telemetry is off: %s: %s", type(error).__name__, reason)
    if sending is None:
        # promptflow collects traces in memory whether or not somebody fetches them.
        environ[SWITCH] = "true"
        return None
    environ.setdefault(SWITCH, "false")
    if PROMPTFLOW in sys.modules:
        from .pf import tracing

        tracing.enable(content)
    log.info("telemetry is sent to %s", ", ".join(sending.names))
    return sending


@dataclass
class Telemetry:
    """What sends; `names` are those of the destinations."""

    traces: TracerProvider
    metrics: MeterProvider
    names: tuple[str, ...]
    _stopped: bool = field(default=False, init=False)

    def wrap(self, application: ASGIApp) -> ASGIApp:
        """Return `application` with a span and metrics for each request to /score."""
        from .telemetry_request import Requests

        return Requests(application, self.traces, self.metrics)

    def stop(self, seconds: float = 2.0) -> None:
        """Send what is pending, within `seconds`; to be called once, after the last request."""
        if self._stopped:
            return
        self._stopped = True
        # Exporters retry a collector that is down for longer than a process may take to end.
        threads = [
            threading.Thread(target=provider.shutdown, name="telemetry-stop", daemon=True)
            for provider in (self.traces, self.metrics)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
