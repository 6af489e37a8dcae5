"""The seam between HTTP and a kind of flow.

A kind of flow brings one module with `load(about, folder, connections, settings) -> Scorer`; the
server knows no more about it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Field:
    """An input or an output.

    `type` is one of string, integer, number, boolean, array, object, any.
    """

    type: str
    required: bool = True
    description: str = ""
    default: Any = None


@dataclass(frozen=True)
class Stream:
    """An answer that is still being made.

    `fields` is complete, the texts of `chunks` add up to `name`.
    """

    fields: Mapping[str, Any]
    name: str
    chunks: AsyncIterator[str]


@dataclass
class BadInput(Exception):
    """The client's mistake; `inputs` names what is wrong."""

    message: str
    inputs: list[str] = field(default_factory=list)
    code: str = "InvalidInput"

    def __str__(self) -> str:
        return self.message


@dataclass
class FlowFailed(Exception):
    """The flow's own failure.

    `message` is for the client: it holds no text that a service or the flow's code made, since that
    may quote a secret. `detail` is for the log. `status` and `code` are those of the answer, and
    `retry_after` the seconds after which the client may try again, if that may help.
    """

    message: str
    detail: str = ""
    status: int = 500
    code: str = "FlowFailed"
    retry_after: str = ""

    def __str__(self) -> str:
        return self.message


@dataclass
class CannotStart(Exception):
    """The flow cannot be served; `message` is one line that says why and what to do."""

    message: str

    def __str__(self) -> str:
        return self.message


class Scorer(Protocol):
    """A flow that is loaded and ready."""

    inputs: Mapping[str, Field]
    outputs: Mapping[str, Field]

    async def score(self, inputs: dict[str, Any], *, stream: bool) -> Any:
        """Run the flow once.

        `inputs` fit `self.inputs`. Returns a value that JSON can carry or, where `stream` is wished
        and the flow can, a `Stream`. Raises `BadInput` or `FlowFailed`.
        """
        ...
