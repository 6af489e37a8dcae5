"""OpenTelemetry's providers and exporters, and the redaction of spans before they are sent."""

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

from .. import redaction
from .destinations import AZURE, METRICS, OTLP, TRACES, Destinations, log
from .metrics import FlowMetrics
from .providers import Telemetry

# The package of each exporter, and its module and class by signal.
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
# Without these, the exporter sends statistics about itself to Microsoft, detects where it runs, and
# fetches instructions for its behavior.
_AZURE_OPT_OUTS = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
)

# Seconds between two log messages about a collector that cannot be reached.
WARNING_SECONDS = 600.0

# The attributes in which promptflow-tracing 1.18.5 stores inputs, outputs and prompts
# (promptflow/tracing/_trace.py).
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
CONTENT_EVENT_PREFIX = "promptflow."
# "Semantic conventions for exceptions on spans". The message may quote any content.
EXCEPTION_CONTENT = frozenset({"exception.message", "exception.stacktrace"})


def start(
    destinations: Destinations, about: Mapping[str, Any], content: bool, hidden: Iterable[str]
) -> Telemetry | None:
    """Start to send to `destinations`, or return None if none of them can be used.

    Sets the providers of the process, so that the flow's own spans and metrics are also sent.
    `content` permits inputs, outputs and prompts in spans. `hidden` are secrets to mask.
    """
    span_exporters: list[SpanExporter] = []
    metric_exporters: list[MetricExporter] = []
    names: list[str] = []
    for name, package, classes, options in _exporters(destinations):
        try:
            exporters = {signal: _make(path, options) for signal, path in classes.items()}
        except ImportError:
            log.warning(
                "nothing is sent for %s: the image has no %s: add it to the flow's "
                "requirements.txt and run `inv lock`",
                name,
                package,
            )
            continue
        except Exception as error:
            # Wrong variables of one destination must not affect the other.
            reason = " ".join(str(error).split())
            log.warning("nothing is sent for %s: %s", name, reason)
            continue
        names.append(name)
        span_exporters += [exporters[TRACES]] if TRACES in exporters else []
        metric_exporters += [exporters[METRICS]] if METRICS in exporters else []
    if not names:
        return None
    _limit_exporter_logs()
    resource = _resource(about)
    readers = [PeriodicExportingMetricReader(exporter) for exporter in metric_exporters]
    meters = MeterProvider(readers, resource, shutdown_on_exit=False)
    metrics.set_meter_provider(meters)
    traces = _tracer_provider(resource)
    # First, so that it gets each span before an exporter can fail.
    traces.add_span_processor(FlowMetrics(meters))
    masks = redaction.list_spellings(hidden)
    for exporter in span_exporters:
        traces.add_span_processor(BatchSpanProcessor(RedactingExporter(exporter, content, masks)))
    return Telemetry(traces, meters, tuple(names))


def _exporters(
    destinations: Destinations,
) -> Iterable[tuple[str, str, Mapping[str, tuple[str, str]], Mapping[str, Any]]]:
    """Yield for each destination: variable, package, classes by signal, and their arguments."""
    if destinations.otlp:
        classes = {signal: _OTLP_CLASSES[signal] for signal in destinations.otlp}
        yield f"{OTLP}_ENDPOINT", _OTLP_PACKAGE, classes, {}
    if destinations.azure:
        for name in _AZURE_OPT_OUTS:
            os.environ.setdefault(name, "true")
        # The exporter would store undelivered data in files, but the root file system is read-only.
        options = {"connection_string": destinations.azure, "disable_offline_storage": True}
        yield AZURE, _AZURE_PACKAGE, _AZURE_CLASSES, options


def _make(path: tuple[str, str], options: Mapping[str, Any]) -> Any:
    module, name = path
    return getattr(importlib.import_module(module), name)(**options)


def _resource(about: Mapping[str, Any]) -> Resource:
    """Return the resource; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence."""
    defaults = {
        "service.name": about["flow"],
        "service.version": about["tag"],
        # Metrics of two processes with the same identity would overwrite each other.
        "service.instance.id": str(uuid.uuid4()),
        "vcs.ref.head.revision": about["commit"],
    }
    configured = OTELResourceDetector().detect().attributes
    defaults = {name: value for name, value in defaults.items() if name not in configured}
    return Resource.create({**defaults, "process.pid": os.getpid()})


def _tracer_provider(resource: Resource) -> TracerProvider:
    """Return the tracer provider of the process: the flow's own if its code has set one."""
    existing = trace.get_tracer_provider()
    if isinstance(existing, TracerProvider):
        return existing
    sampler = RecordingSampler(sampler_of_environment())
    provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    return provider


class RecordingSampler(Sampler):
    """A sampler that also records the spans that `sampler` drops, because metrics need all spans.

    Dropped spans are not sent.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        """Return the result of the sampler, with RECORD_ONLY instead of DROP."""
        result = self._sampler.should_sample(*args, **kwargs)
        if result.decision is not Decision.DROP:
            return result
        return SamplingResult(Decision.RECORD_ONLY, result.attributes, result.trace_state)

    def get_description(self) -> str:
        """Return the sampler's own description."""
        return self._sampler.get_description()


class RedactingExporter(SpanExporter):
    """An exporter that removes secrets and, unless `content` is true, inputs and outputs.

    It runs in the thread of the exporter, so no request waits for it.
    """

    def __init__(self, exporter: SpanExporter, content: bool, masks: Sequence[str]) -> None:
        self._exporter = exporter
        self._content = content
        self._masks = masks

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send redacted copies of `spans`."""
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
            # The text after the colon may quote an input: "KeyError: 'what the user wrote'".
            text = status.description if self._content else status.description.split(":")[0]
            status = Status(status.status_code, self._mask(text))
        return ReadableSpan(
            name=self._mask(span.name),
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes={
                **self._attributes(span.attributes, CONTENT),
                **map_genai_attributes(span.attributes),
            },
            events=[
                Event(
                    event.name,
                    self._attributes(event.attributes, EXCEPTION_CONTENT),
                    event.timestamp,
                )
                for event in span.events
                if self._content or not event.name.startswith(CONTENT_EVENT_PREFIX)
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


def map_genai_attributes(attributes: Attributes) -> dict[str, AttributeValue]:
    """Return promptflow's attributes by their names in the GenAI semantic conventions."""
    names = {
        "llm.response.model": "gen_ai.response.model",
        "llm.usage.prompt_tokens": "gen_ai.usage.input_tokens",
        "llm.usage.completion_tokens": "gen_ai.usage.output_tokens",
    }
    values = attributes or {}
    return {new: values[old] for old, new in names.items() if old in values}


class _RateLimitedHandler(logging.Handler):
    """A handler that turns the long logs of the exporters into one line every WARNING_SECONDS."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now < self._next.get(record.name, 0.0):
            return
        self._next[record.name] = now + WARNING_SECONDS
        reason = record.exc_info[1] if record.exc_info else None
        text = " ".join(f"{record.getMessage()} {reason or ''}".split())
        log.warning("telemetry is not delivered, and is dropped: %s", text[:400])


def _limit_exporter_logs() -> None:
    handler = _RateLimitedHandler()
    for name in ("opentelemetry", "azure.monitor", "azure.core"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.propagate = False
