"""What must be changed in promptflow's tracing before it can run in a server for months.

promptflow-tracing 1.18.5 makes a span for the flow, each node and each call of the OpenAI client.
Each change here is in one of its modules' names, and has its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from promptflow.tracing import _openai_utils, _trace, _tracer
from promptflow.tracing.contracts.iterator_proxy import IteratorProxy

from ..telemetry_request import scratch

COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


class _Tokens(_trace.TokenCollector):  # type: ignore[misc]
    """Token counts by span, kept as long as the request.

    promptflow's own keeps them for ever: the spans of a flow with one LLM node leave three entries
    a request.
    """

    def __init__(self) -> None:
        """Have no dictionary of its own."""

    @property
    def _span_id_to_tokens(self) -> dict[Any, Any]:
        found = scratch.get()
        # Outside of a request there is nobody who would read them.
        return {} if found is None else found

    def collect_openai_tokens(self, span: Any, output: Any) -> None:
        """Take the counts of an answer.

        promptflow takes all that the service says about usage; what is no number is then refused
        by OpenTelemetry, with a warning for each call.
        """
        if not isinstance(output, Iterator):
            self._keep(span, getattr(output, "usage", None))

    def collect_openai_tokens_for_streaming(
        self, span: Any, inputs: Any, output: Sequence[Any], is_chat: bool
    ) -> None:
        """Take the counts that the service sends in the last chunk, if it was asked to.

        promptflow counts with tiktoken, which fetches a table of the model's words from the
        internet while the client waits for the end of the stream.
        """
        for chunk in reversed(output):
            usage = getattr(chunk, "usage", None)
            if usage is not None:
                self._keep(span, usage)
                return

    def _keep(self, span: Any, usage: Any) -> None:
        counts = {name: getattr(usage, name, None) for name in COUNTS}
        tokens = {name: count for name, count in counts.items() if isinstance(count, int)}
        if tokens:
            self._span_id_to_tokens[span.get_span_context().span_id] = tokens


def enable(content: bool) -> None:
    """Make promptflow's tracing fit for a server; without `content` it looks at no input or output.

    To be called once, before the first request.
    """
    _trace.token_collector = _Tokens()
    # Counts for the record of a run, which a server does not keep. It is tiktoken again.
    _openai_utils.OpenAIMetricsCalculator.get_openai_metrics_from_api_call = _no_metrics
    _tracer.Tracer.end_tracing = classmethod(_end_tracing)
    _trace.TracedIterator.close = _close
    for traced in (_trace.TracedIterator, _trace.TracedAsyncIterator):
        traced.__del__ = _end_span
    if not content:
        # Each input and output would be written as JSON, twice, only to be left out in the end, and
        # each prompt parsed: a good part of what tracing costs.
        _trace.serialize_attribute = _no_content
        _trace.enrich_span_with_prompt_info = _no_prompt
        _tracer.Tracer.to_serializable = staticmethod(_unchanged)


def _no_metrics(self: Any, api_call: Any) -> dict[str, int]:
    return {}


def _end_tracing(tracer: Any, run_id: str | None = None) -> list[Any]:
    """End it without the list of calls, which is for the record of a run as well."""
    active = tracer.active_instance()
    if active and run_id in (None, active._run_id):
        active._deactivate_in_context()
    return []


def _close(traced: Any) -> None:
    """Close the stream below: promptflow's iterators hide its close(), and a reader may leave.

    The call of the model would go on, and the spans of node and call would never end.
    """
    below = traced
    while isinstance(below, IteratorProxy):
        below = below._iterator
    if hasattr(below, "close"):
        below.close()
    _end_span(traced)


def _end_span(traced: Any) -> None:
    if traced._span.is_recording():
        traced._span.end()


def _unchanged(value: Any) -> Any:
    return value


def _no_prompt(span: Any, func: Any, kwargs: Any) -> None:
    return None


def _no_content(value: Any) -> str:
    return ""
