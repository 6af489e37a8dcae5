"""Metrics from the spans of a flow: nodes, calls of models, tokens."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

SCOPE = "flow-deploy"
# The attribute that marks the span of a node and contains the node's name.
NODE_ATTRIBUTE = "promptflow.node"

# The buckets that the semantic conventions recommend ("HTTP metrics", "Generative AI metrics"), in
# seconds and in tokens. OpenTelemetry's defaults are for milliseconds. Flows may take minutes.
DURATION_BUCKETS = [
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    30,
    60,
    120,
]
MODEL_DURATION_BUCKETS = [0.01 * 2**power for power in range(14)]
TOKEN_BUCKETS = [float(4**power) for power in range(14)]

# promptflow's span types and the operation names of the semantic conventions.
OPERATIONS = {"LLM": "chat", "Embedding": "embeddings"}


class FlowMetrics(SpanProcessor):
    """A span processor that records metrics when a span of the flow ends."""

    def __init__(self, meters: MeterProvider) -> None:
        meter = meters.get_meter(SCOPE)
        self._nodes = meter.create_histogram(
            "promptflow.node.duration",
            "s",
            "Duration of a node of the flow",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._calls = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Duration of a call to a model",
            explicit_bucket_boundaries_advisory=MODEL_DURATION_BUCKETS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Input and output tokens of a call to a model",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Mark the span of a node, which is a direct child of the span of a DAG flow."""
        parent = trace.get_current_span(parent_context)
        attributes = parent.attributes or {} if isinstance(parent, Span) else {}
        if attributes.get("span_type") == "Flow" and attributes.get("execution_target") == "dag":
            span.set_attribute(NODE_ATTRIBUTE, span.name)

    def on_end(self, span: ReadableSpan) -> None:
        """Record durations, tokens and types of errors."""
        attributes = span.attributes or {}
        kind = str(attributes.get("span_type", ""))
        failed = (
            {"error.type": _get_error_type(span)}
            if span.status.status_code is StatusCode.ERROR
            else {}
        )
        if NODE_ATTRIBUTE in attributes:
            _record_duration(
                self._nodes, span, {NODE_ATTRIBUTE: str(attributes[NODE_ATTRIBUTE]), **failed}
            )
        if kind not in OPERATIONS:
            return
        model = {
            "gen_ai.operation.name": OPERATIONS[kind],
            # The trace of a call does not show whether OpenAI or Azure responds.
            "gen_ai.provider.name": "openai",
        }
        if "llm.response.model" in attributes:
            model["gen_ai.response.model"] = str(attributes["llm.response.model"])
        _record_duration(self._calls, span, {**model, **failed})
        for name, token_type in (("prompt_tokens", "input"), ("completion_tokens", "output")):
            count = attributes.get(f"llm.usage.{name}")
            if isinstance(count, int):
                self._tokens.record(count, {**model, "gen_ai.token.type": token_type})

    def shutdown(self) -> None:
        """Do nothing: nothing is pending here."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return true: nothing is pending here."""
        return True


def _record_duration(histogram: Histogram, span: ReadableSpan, attributes: dict[str, str]) -> None:
    if span.start_time is not None and span.end_time is not None:
        histogram.record((span.end_time - span.start_time) / 1e9, attributes)


def _get_error_type(span: ReadableSpan) -> str:
    """Return the type of the error, never its message."""
    for event in span.events:
        name = (event.attributes or {}).get("exception.type")
        if name:
            return str(name)
    return "_OTHER"
