"""Destinations of telemetry, from the variables of OpenTelemetry and Application Insights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

log = logging.getLogger("serve.telemetry")

AZURE = "APPLICATIONINSIGHTS_CONNECTION_STRING"
OTLP = "OTEL_EXPORTER_OTLP"
TRACES = "TRACES"
METRICS = "METRICS"
# The only protocol whose exporter is in the image.
PROTOCOL = "http/protobuf"


@dataclass(frozen=True)
class Destinations:
    """The destinations of telemetry."""

    # The signals (TRACES, METRICS) that are sent with OTLP.
    otlp: tuple[str, ...] = ()
    # The connection string of Application Insights.
    azure: str = ""
    # Log messages about variables that are set but cannot be used.
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.otlp or self.azure)


def read(environ: Mapping[str, str]) -> Destinations:
    """Return the destinations in the variables of OpenTelemetry and Application Insights.

    As in the "OpenTelemetry Environment Variable Specification", an empty variable counts as not
    set.
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
                f"{PROTOCOL} only: unset it, and use the collector's port for HTTP"
            )
            continue
        signals.append(signal)
    return Destinations(tuple(signals), environ.get(AZURE, ""), tuple(problems))


def list_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys of collectors, and the values of variables that contain such keys."""
    secrets = [environ.get(AZURE, "")]
    secrets += [
        value
        for part in environ.get(AZURE, "").split(";")
        for name, _, value in [part.partition("=")]
        if name.strip().lower() == "instrumentationkey"
    ]
    for signal in ("", f"{TRACES}_", f"{METRICS}_"):
        pairs = environ.get(f"{OTLP}_{signal}HEADERS", "").split(",")
        values = [pair.partition("=")[2].strip() for pair in pairs]
        # "Authorization=Bearer%20abc": the service may quote only the token.
        secrets += [
            part for value in values for part in (value, *value.replace("%20", " ").split())
        ]
    return tuple(dict.fromkeys(value for value in secrets if value))
