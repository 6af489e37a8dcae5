"""Load and score function.py; the signature of its function defines the inputs and outputs."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flow_server.scorer import Field, FlowError, Scorer, StartupError
from flow_server.settings import Settings

TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}


def load(
    about: Mapping[str, Any],
    folder: Path,
    connections: dict[str, dict[str, Any]],
    settings: Settings,
) -> Scorer:
    """Return the scorer of the function `flow` in the module `entry` of `about`.

    A parameter named `connections` gets the values of the flow's connections.
    """
    sys.path.insert(0, str(folder))
    try:
        function = importlib.import_module(Path(about["entry"]).stem).flow
        hints = typing.get_type_hints(function)
        parameters = inspect.signature(function).parameters
    except Exception as error:
        # In one line: the text of an error may have several.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StartupError(f"the flow cannot be loaded: {reason}") from None
    values = {name: connection["value"] for name, connection in connections.items()}
    fixed = {"connections": values} if "connections" in parameters else {}
    return FunctionScorer(function, parameters, hints, fixed)


class FunctionScorer:
    """The scorer of a function; `fixed` are arguments that do not come from the request."""

    def __init__(
        self,
        function: Callable[..., Any],
        parameters: Mapping[str, inspect.Parameter],
        hints: Mapping[str, Any],
        fixed: Mapping[str, Any],
    ) -> None:
        self._function = function
        self._fixed = fixed
        self.inputs = {
            name: Field(
                _json_type(hints.get(name)),
                required=parameter.default is inspect.Parameter.empty,
                default=None if parameter.default is parameter.empty else parameter.default,
            )
            for name, parameter in parameters.items()
            if name not in fixed
        }
        self.outputs = _outputs(hints.get("return"))

    async def score(self, inputs: dict[str, Any], *, stream: bool) -> Any:
        """Call the function once; `stream` has no effect."""
        try:
            if inspect.iscoroutinefunction(self._function):
                return await self._function(**inputs, **self._fixed)
            return await asyncio.to_thread(self._function, **inputs, **self._fixed)
        except Exception as error:
            # Clients get only the type of the error: its text may quote a secret.
            kind = type(error).__name__
            raise FlowError(f"the function failed: {kind}", f"{kind}: {error}") from error


def _json_type(hint: Any) -> str:
    return TYPES.get(typing.get_origin(hint) or hint, "any")


def _outputs(hint: Any) -> dict[str, Field]:
    """Return the fields of a TypedDict, or one field `output` for any other type."""
    if typing.is_typeddict(hint):
        return {name: Field(_json_type(item)) for name, item in typing.get_type_hints(hint).items()}
    return {"output": Field(_json_type(hint))}
