"""The spans that promptflow's executor creates, if tracing is enabled in the environment.

Without telemetry, their only cost is to read one variable.
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


def trace_dag(
    executor: Any, inputs: Mapping[str, Any]
) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:
    """Return a context manager for the span of a DAG flow.

    It yields a function that must be called with the outputs of the flow.
    """
    return _NO_DAG_SPAN if is_tracing_disabled() else _dag(executor, inputs)


def trace_function(executor: Any) -> AbstractContextManager[None]:
    """Return a context manager for a flow's function, whose decorator creates the span."""
    if is_tracing_disabled():
        return _NO_SPAN
    context: AbstractContextManager[None] = executor._update_operation_context(_new(), None)
    return context


def trace_node(name: str) -> AbstractContextManager[None]:
    """Return a context manager that names the span of a tool after its node."""
    return _NO_SPAN if is_tracing_disabled() else _node(name)


def _ignore_outputs(outputs: Mapping[str, Any]) -> None:
    """Do nothing: there is no span for the outputs."""


def _new() -> str:
    return str(uuid.uuid4())


_NO_SPAN = nullcontext()
_NO_DAG_SPAN = nullcontext(_ignore_outputs)


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
    run_id = _new()
    Tracer.start_tracing(run_id, name)
    try:
        yield
    finally:
        Tracer.end_tracing(run_id)
