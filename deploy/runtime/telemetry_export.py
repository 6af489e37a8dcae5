"""OpenTelemetry's providers and exporters, and what must not leave with the spans."""

from __future__ import annotations

import importlib
import logging
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.sdk.trace.sampling import _get_from_env_or_default as sampler_of_environment
from opentelemetry.trace import Status
from opentelemetry.util.types import Attributes, AttributeValue

from . import redaction, telemetry
from .telemetry import AZURE, METRICS, OTLP, TRACES, Destinations, Telemetry
from .telemetry_metrics import FlowMetrics

# Package, and module and class by signal.
_OTLP_PACKAGE = "opentelemetry-exporter-otlp-proto-http"
_OTLP_CLASSES = {
    TRACES: ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "OTLPSpanExporter"),
    METRICS: ("opentelemetry.exporter.otlp.proto.http.metric_exporter", "OTLPMetricExporter"),
}
_AZURE_PACKAGE = "azure-monitor-opentelemetry-exporter"
_AZURE_CLASSES = {
    TRACES: ("azure.monitor.opentelemetry.exporter", "AzureMonitorTraceExporter"),
    METRICS: ("azure.monitor.opentelemetry.exporter", "AzureMonitorMetricExporter"),
}
# The exporter would report on itself to Microsoft, and ask where it runs and how to behave.
_AZURE_QUIET = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
)

# Seconds between two lines about a collector that cannot be reached.
QUIET = 600.0

# Where promptflow-tracing 1.18.5 puts inputs, outputs and prompts (promptflow/tracing/_trace.py).
CONTENT = frozenset(
    {
        "inputs",
        "output",
        "prompt.template",
        "prompt.variables",
        "llm.generated_message",
        "embedding.embeddings",
        "retrieval.query",
        "retrieval.documents",
    }
)
CONTENT_EVENTS = "promptflow."
# "Semantic conventions for exceptions on spans". The message may quote anything.
EXCEPTION_CONTENT = frozenset({"exception.message", "exception.stacktrace"})


def start(
    wanted: Destinations, about: Mapping[str, Any], content: bool, hidden: Iterable[str]
) -> Telemetry | None:
    """Return what sends to `wanted`, or None where the packages for all of it are missing.

    Sets the providers of the process, so that the flow's own spans and metrics are sent as well.
    """
    span_exporters: list[SpanExporter] = []
    metric_exporters: list[MetricExporter] = []
    names: list[str] = []
    for name, package, classes, options in _exporters(wanted):
        try:
            made = {signal: _make(where, options) for signal, where in classes.items()}
        except ImportError:
            telemetry.log.warning(
                "nothing is sent for %s: the image has no %s: add it to the flow's "
                "requirements.txt and run `inv lock`",
                name,
                package,
            )
            continue
        except Exception as error:
            # One destination whose variables are wrong must not cost the other.
            reason = " ".join(str(error).split())
            telemetry.log.warning("nothing is sent for %s: %s", name, reason)
            continue
        names.append(name)
        span_exporters += [made[TRACES]] if TRACES in made else []
        metric_exporters += [made[METRICS]] if METRICS in made else []
    if not names:
        return None
    _one_line_for_failures()
    resource = _resource(about)
    readers = [PeriodicExportingMetricReader(exporter) for exporter in metric_exporters]
    meters = MeterProvider(readers, resource, shutdown_on_exit=False)
    metrics.set_meter_provider(meters)
    traces = _tracer_provider(resource)
    # First, so that it sees a span before anything can fail in sending it.
    traces.add_span_processor(FlowMetrics(meters))
    masks = redaction.forms(hidden)
    for exporter in span_exporters:
        traces.add_span_processor(BatchSpanProcessor(Cleaned(exporter, content, masks)))
    return Telemetry(traces, meters, tuple(names))


def _exporters(
    wanted: Destinations,
) -> Iterable[tuple[str, str, Mapping[str, tuple[str, str]], Mapping[str, Any]]]:
    """Yield variable, package, classes by signal and what these are made with."""
    if wanted.otlp:
        classes = {signal: _OTLP_CLASSES[signal] for signal in wanted.otlp}
        yield f"{OTLP}_ENDPOINT", _OTLP_PACKAGE, classes, {}
    if wanted.azure:
        for name in _AZURE_QUIET:
            os.environ.setdefault(name, "true")
        # What cannot be sent would be kept in files; the root file system is read-only.
        options = {"connection_string": wanted.azure, "disable_offline_storage": True}
        yield AZURE, _AZURE_PACKAGE, _AZURE_CLASSES, options


def _make(where: tuple[str, str], options: Mapping[str, Any]) -> Any:
    module, name = where
    return getattr(importlib.import_module(module), name)(**options)


def _resource(about: Mapping[str, Any]) -> Resource:
    """Describe the service; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins."""
    ours = {
        "service.name": about["flow"],
        "service.version": about["tag"],
        # Metrics of two processes with one identity would overwrite each other.
        "service.instance.id": str(uuid.uuid4()),
        "vcs.ref.head.revision": about["commit"],
    }
    given = OTELResourceDetector().detect().attributes
    ours = {name: value for name, value in ours.items() if name not in given}
    return Resource.create({**ours, "process.pid": os.getpid()})


def _tracer_provider(resource: Resource) -> TracerProvider:
    """Return the provider of the process: the flow's own if its code has set one."""
    existing = trace.get_tracer_provider()
    if isinstance(existing, TracerProvider):
        return existing
    sampler = RecordAll(sampler_of_environment())
    made = TracerProvider(sampler, resource, shutdown_on_exit=False)
    trace.set_tracer_provider(made)
    return made


class RecordAll(Sampler):
    """Record what `sampler` drops: it is not sent, but metrics are made of all spans."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        """Ask the sampler, and turn DROP into RECORD_ONLY."""
        result = self._sampler.should_sample(*args, **kwargs)
        if result.decision is not Decision.DROP:
            return result
        return SamplingResult(Decision.RECORD_ONLY, result.attributes, result.trace_state)

    def get_description(self) -> str:
        """Return the sampler's own description."""
        return self._sampler.get_description()


class Cleaned(SpanExporter):
    """Pass spans on without secrets and, unless `content`, without what went through the flow.

    Runs in the exporter's thread, so no request waits for it.
    """

    def __init__(self, exporter: SpanExporter, content: bool, masks: Sequence[str]) -> None:
        self._exporter = exporter
        self._content = content
        self._masks = masks

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send cleaned copies of `spans`."""
        return self._exporter.export([self._clean(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)

    def _clean(self, span: ReadableSpan) -> ReadableSpan:
        status = span.status
        if status.description:
            # "KeyError: 'what the user wrote'"
            text = status.description if self._content else status.description.split(":")[0]
            status = Status(status.status_code, self._mask(text))
        return ReadableSpan(
            name=self._mask(span.name),
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes={**self._attributes(span.attributes, CONTENT), **gen_ai(span.attributes)},
            events=[
                Event(
                    event.name,
                    self._attributes(event.attributes, EXCEPTION_CONTENT),
                    event.timestamp,
                )
                for event in span.events
                if self._content or not event.name.startswith(CONTENT_EVENTS)
            ],
            links=span.links,
            kind=span.kind,
            status=status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _attributes(
        self, attributes: Attributes, content: frozenset[str]
    ) -> dict[str, AttributeValue]:
        return {
            name: self._mask(value)
            for name, value in (attributes or {}).items()
            if self._content or name not in content
        }

    def _mask(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self._masks:
                value = value.replace(secret, redaction.MASK.decode())
        elif isinstance(value, Sequence):
            return [self._mask(item) for item in value]
        return value


def gen_ai(attributes: Attributes) -> dict[str, AttributeValue]:
    """Return the names that the semantic conventions for generative AI have for promptflow's."""
    names = {
        "llm.response.model": "gen_ai.response.model",
        "llm.usage.prompt_tokens": "gen_ai.usage.input_tokens",
        "llm.usage.completion_tokens": "gen_ai.usage.output_tokens",
    }
    given = attributes or {}
    return {new: given[old] for old, new in names.items() if old in given}


class _Seldom(logging.Handler):
    """Turn what the exporters log, at length and at each try, into a line every QUIET seconds."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now < self._next.get(record.name, 0.0):
            return
        self._next[record.name] = now + QUIET
        reason = record.exc_info[1] if record.exc_info else None
        text = " ".join(f"{record.getMessage()} {reason or ''}".split())
        telemetry.log.warning("telemetry is not delivered, and is dropped: %s", text[:400])


def _one_line_for_failures() -> None:
    handler = _Seldom()
    for name in ("opentelemetry", "azure.monitor", "azure.core"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.propagate = False
