"""The interface between the HTTP server and a kind of flow.

Each kind of flow has one module with `load(about, folder, connections, settings) -> Scorer`. The
server knows nothing else about it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Field:
    """An input or an output of a flow."""

    # One of string, integer, number, boolean, array, object, any.
    type: str
    required: bool = True
    description: str = ""
    default: Any = None


@dataclass(frozen=True)
class Stream:
    """A response of which one output is still being generated."""

    # The outputs that are complete.
    fields: Mapping[str, Any]
    # The output that is still being generated.
    name: str
    # The parts of that output; its value is their concatenation.
    chunks: AsyncIterator[str]


@dataclass
class BadInput(Exception):
    """An error in the client's request."""

    message: str
    # The names of the inputs that are wrong.
    inputs: list[str] = field(default_factory=list)
    code: str = "InvalidInput"

    def __str__(self) -> str:
        return self.message


@dataclass
class FlowError(Exception):
    """A failure of the flow or of a service that it uses."""

    # For the client. Contains no text from a service or from the flow's code, because such a text
    # may quote a secret.
    message: str
    # For the log.
    detail: str = ""
    # The HTTP status and the error code of the response.
    status: int = 500
    code: str = "FlowFailed"
    # Seconds after which the client can retry; empty if a retry does not help.
    retry_after: str = ""

    def __str__(self) -> str:
        return self.message


@dataclass
class StartupError(Exception):
    """An error that prevents the server from starting."""

    # One line for each problem, with its cause and its solution.
    message: str

    def __str__(self) -> str:
        return self.message


class Scorer(Protocol):
    """A loaded flow that is ready to score requests."""

    inputs: Mapping[str, Field]
    outputs: Mapping[str, Field]

    async def score(self, inputs: dict[str, Any], *, stream: bool) -> Any:
        """Run the flow once and return a JSON value or a `Stream`.

        `inputs` match `self.inputs`. A `Stream` is returned only if `stream` is true and the flow
        can stream. Raises `BadInput` or `FlowError`.
        """
        ...
