"""The spans that promptflow's executor makes, where the environment asks for traces.

Without telemetry these cost a look at one variable.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from promptflow.tracing._trace import enrich_span_with_trace_type
from promptflow.tracing._tracer import Tracer
from promptflow.tracing._utils import is_tracing_disabled
from promptflow.tracing.contracts.trace import TraceType


def dag(
    executor: Any, inputs: Mapping[str, Any]
) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:
    """Return a span to run a DAG flow within; what it gives is to be called with the outputs."""
    return _UNTOLD if is_tracing_disabled() else _dag(executor, inputs)


def function(executor: Any) -> AbstractContextManager[None]:
    """Return what to run a flow's function within: its decorator makes the span."""
    if is_tracing_disabled():
        return _NONE
    context: AbstractContextManager[None] = executor._update_operation_context(_new(), None)
    return context


def node(name: str) -> AbstractContextManager[None]:
    """Return what gives the span of a tool, which its decorator makes, the name of its node."""
    return _NONE if is_tracing_disabled() else _node(name)


def _untold(outputs: Mapping[str, Any]) -> None:
    """Tell nobody."""


def _new() -> str:
    return str(uuid.uuid4())


_NONE = nullcontext()
_UNTOLD = nullcontext(_untold)


@contextmanager
def _dag(executor: Any, inputs: Mapping[str, Any]) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    with (
        executor._update_operation_context(_new(), None),
        executor._start_flow_span(inputs) as span,
    ):
        yield functools.partial(
            enrich_span_with_trace_type, span, inputs, trace_type=TraceType.FLOW
        )


@contextmanager
def _node(name: str) -> Iterator[None]:
    run = _new()
    Tracer.start_tracing(run, name)
    try:
        yield
    finally:
        Tracer.end_tracing(run)
