"""Turn a flow's outputs into an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from ..scorer import FlowFailed, Stream
from .pump import in_threads


def answer(outputs: Mapping[str, Any], hidden: set[str]) -> dict[str, Any] | Stream:
    """Return `outputs` without those that are `hidden`; a `Stream` where one of them is made yet.

    Raises `FlowFailed` where there is more than one.
    """
    shown = {name: value for name, value in outputs.items() if name not in hidden}
    streams = [k for k, v in shown.items() if isinstance(v, (Iterator, AsyncIterator))]
    if not streams:
        return shown
    if len(streams) > 1:
        raise FlowFailed(f"the flow streams more than one output: {', '.join(streams)}")
    chunks = shown.pop(streams[0])
    if isinstance(chunks, Iterator):
        chunks = in_threads(chunks)
    return Stream(shown, streams[0], chunks)
