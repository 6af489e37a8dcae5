"""Patches of promptflow's tracing, which it needs to run in a server for months.

promptflow-tracing 1.18.5 creates a span for the flow, each node and each call of the OpenAI client.
Each patch replaces a name in one of its modules, and states its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from promptflow.tracing import _openai_utils, _trace, _tracer
from promptflow.tracing.contracts.iterator_proxy import IteratorProxy

from ..telemetry.request import request_storage

COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


class _RequestTokens(_trace.TokenCollector):  # type: ignore[misc]
    """Token counts by span, which are deleted at the end of the request.

    promptflow never deletes them: the spans of a flow with one LLM node leave three entries for
    each request.
    """

    def __init__(self) -> None:
        """Create no dictionary: `request_storage` has one for each request."""

    @property
    def _span_id_to_tokens(self) -> dict[Any, Any]:
        storage = request_storage.get()
        # Outside of a request, no code reads the counts.
        return {} if storage is None else storage

    def collect_openai_tokens(self, span: Any, output: Any) -> None:
        """Store the token counts of a response.

        promptflow stores all fields of the usage. OpenTelemetry rejects those that are not numbers,
        with a warning for each call.
        """
        if not isinstance(output, Iterator):
            self._keep(span, getattr(output, "usage", None))

    def collect_openai_tokens_for_streaming(
        self, span: Any, inputs: Any, output: Sequence[Any], is_chat: bool
    ) -> None:
        """Store the token counts of the last chunk; the service sends them only on request.

        promptflow counts with tiktoken, which downloads a table of the model's tokens from the
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
    """Install the patches; unless `content` is true, tracing ignores inputs and outputs.

    Must be called once, before the first request.
    """
    _trace.token_collector = _RequestTokens()
    # These counts are for run records, which a server does not keep. They also use tiktoken.
    _openai_utils.OpenAIMetricsCalculator.get_openai_metrics_from_api_call = _no_metrics
    _tracer.Tracer.end_tracing = classmethod(_end_tracing)
    _trace.TracedIterator.close = _close
    for traced in (_trace.TracedIterator, _trace.TracedAsyncIterator):
        traced.__del__ = _end_span
    if not content:
        # Otherwise each input and output is serialized as JSON twice, and each prompt is parsed,
        # only to be left out at export. That is a large part of the cost of tracing.
        _trace.serialize_attribute = _no_content
        _trace.enrich_span_with_prompt_info = _no_prompt
        _tracer.Tracer.to_serializable = staticmethod(_unchanged)


def _no_metrics(self: Any, api_call: Any) -> dict[str, int]:
    return {}


def _end_tracing(tracer: Any, run_id: str | None = None) -> list[Any]:
    """End a trace without the list of calls, which is also only for run records."""
    active = tracer.active_instance()
    if active and run_id in (None, active._run_id):
        active._deactivate_in_context()
    return []


def _close(traced: Any) -> None:
    """Close the stream under promptflow's iterators, which hide its close().

    If a reader stops early, the call of the model would otherwise continue, and the spans of the
    node and of the call would never end.
    """
    stream = traced
    while isinstance(stream, IteratorProxy):
        stream = stream._iterator
    if hasattr(stream, "close"):
        stream.close()
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
