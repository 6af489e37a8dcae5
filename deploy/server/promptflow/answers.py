"""Conversion of a flow's outputs into a response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from ..scorer import FlowError, Stream
from .stream_bridge import read_in_threads


def build_answer(outputs: Mapping[str, Any], hidden: set[str]) -> dict[str, Any] | Stream:
    """Return `outputs` without `hidden`, or a `Stream` if one of them is an iterator.

    Raises `FlowError` if more than one output is an iterator.
    """
    visible = {name: value for name, value in outputs.items() if name not in hidden}
    streams = [k for k, v in visible.items() if isinstance(v, (Iterator, AsyncIterator))]
    if not streams:
        return visible
    if len(streams) > 1:
        raise FlowError(f"the flow streams more than one output: {', '.join(streams)}")
    chunks = visible.pop(streams[0])
    if isinstance(chunks, Iterator):
        chunks = read_in_threads(chunks)
    return Stream(visible, streams[0], chunks)
