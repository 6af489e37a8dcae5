"""Metrics that are made of the flow's spans: nodes, calls of models, tokens."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

SCOPE = "flow-deploy"
# Marks the span of a node, and tells its name.
NODE = "promptflow.node"

# The buckets that the semantic conventions advise ("HTTP metrics", "Generative AI metrics"), in
# seconds and in tokens; OpenTelemetry's own are for milliseconds. Flows may take minutes.
SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120]
MODEL_SECONDS = [0.01 * 2**power for power in range(14)]
TOKENS = [float(4**power) for power in range(14)]

# promptflow's types of span, and the conventions' names of what a model does.
OPERATIONS = {"LLM": "chat", "Embedding": "embeddings"}


class FlowMetrics(SpanProcessor):
    """Count each span of the flow when it ends."""

    def __init__(self, meters: MeterProvider) -> None:
        meter = meters.get_meter(SCOPE)
        self._nodes = meter.create_histogram(
            "promptflow.node.duration",
            "s",
            "Duration of a node of the flow",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._calls = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Duration of a call of a model",
            explicit_bucket_boundaries_advisory=MODEL_SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens that a call of a model took and gave",
            explicit_bucket_boundaries_advisory=TOKENS,
        )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Mark the span of a node: what is right below the span of a DAG flow."""
        parent = trace.get_current_span(parent_context)
        above = parent.attributes or {} if isinstance(parent, Span) else {}
        if above.get("span_type") == "Flow" and above.get("execution_target") == "dag":
            span.set_attribute(NODE, span.name)

    def on_end(self, span: ReadableSpan) -> None:
        """Record durations, tokens and kinds of error."""
        attributes = span.attributes or {}
        kind = str(attributes.get("span_type", ""))
        failed = {"error.type": _error(span)} if span.status.status_code is StatusCode.ERROR else {}
        if NODE in attributes:
            _record_duration(self._nodes, span, {NODE: str(attributes[NODE]), **failed})
        if kind not in OPERATIONS:
            return
        model = {
            "gen_ai.operation.name": OPERATIONS[kind],
            # Whether OpenAI or Azure answers is not told where the call is traced.
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
        """Nothing is pending here."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is pending here."""
        return True


def _record_duration(histogram: Histogram, span: ReadableSpan, attributes: dict[str, str]) -> None:
    if span.start_time is not None and span.end_time is not None:
        histogram.record((span.end_time - span.start_time) / 1e9, attributes)


def _error(span: ReadableSpan) -> str:
    """Return the type of the error: never its message."""
    for event in span.events:
        name = (event.attributes or {}).get("exception.type")
        if name:
            return str(name)
    return "_OTHER"
