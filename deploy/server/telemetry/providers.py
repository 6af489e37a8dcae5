"""The trace and metric providers of one process, and their shutdown."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from starlette.types import ASGIApp


@dataclass
class Telemetry:
    """The active telemetry of a process."""

    traces: TracerProvider
    metrics: MeterProvider
    # The names of the destinations.
    names: tuple[str, ...]
    _stopped: bool = field(default=False, init=False)

    def wrap(self, application: ASGIApp) -> ASGIApp:
        """Return `application` with a span and metrics for each request to /score."""
        from .request import RequestTelemetry

        return RequestTelemetry(application, self.traces, self.metrics)

    def stop(self, seconds: float = 2.0) -> None:
        """Send pending telemetry within `seconds`; must be called after the last request."""
        if self._stopped:
            return
        self._stopped = True
        # If a collector is down, exporters retry for longer than a process may take to shut down.
        threads = [
            threading.Thread(target=provider.shutdown, name="telemetry-stop", daemon=True)
            for provider in (self.traces, self.metrics)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
