"""The spans that promptflow's executor makes, where the environment asks for traces.

Without telemetry these cost a look at one variable.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from promptflow.tracing._tracer import Tracer
from promptflow.tracing._utils import is_tracing_disabled

_NONE = nullcontext()


def flow(executor: Any, inputs: Mapping[str, Any], *, dag: bool) -> AbstractContextManager[None]:
    """Return a span of the flow, to run it within; a function's own decorator makes one itself."""
    return _NONE if is_tracing_disabled() else _flow(executor, inputs, dag)


def node(name: str) -> AbstractContextManager[None]:
    """Return what gives the span of a tool, which its decorator makes, the name of its node."""
    return _NONE if is_tracing_disabled() else _node(name)


@contextmanager
def _flow(executor: Any, inputs: Mapping[str, Any], dag: bool) -> Iterator[None]:
    with executor._update_operation_context(str(uuid.uuid4()), None):
        if not dag:
            yield
            return
        with executor._start_flow_span(inputs):
            yield


@contextmanager
def _node(name: str) -> Iterator[None]:
    run = str(uuid.uuid4())
    Tracer.start_tracing(run, name)
    try:
        yield
    finally:
        Tracer.end_tracing(run)
