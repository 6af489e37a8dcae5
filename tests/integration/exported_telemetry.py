"""Telemetry of real containers."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.running_container import Running
from tests.otlp_collector import Collector, Span

Traced = Callable[..., Running]


def ended(running: Running) -> None:
    """End the container by SIGTERM; it must not be killed."""
    running.container.kill("SIGTERM")
    assert running.exit_status() == 0, running.logs()


def below(collector: Collector, span: Span) -> list[str]:
    """Return the names of the spans right below `span`, sorted."""
    return sorted(other.name for other in collector.spans if other.parent == span.id)


def only(collector: Collector, name: str) -> Span:
    (span,) = collector.named(name)
    return span
