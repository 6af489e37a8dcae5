"""Load function.py, and score it: sync or async, its signature is the flow's inputs and outputs."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runtime.scorer import CannotStart, Field, FlowFailed, Scorer
from runtime.settings import Settings

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
    """Load the function. A parameter `connections` gets the values of the flow's connections."""
    sys.path.insert(0, str(folder))
    try:
        function = importlib.import_module(Path(about["entry"]).stem).flow
        hints = typing.get_type_hints(function)
        parameters = inspect.signature(function).parameters
    except Exception as error:
        # One line; the text of an error may go on over several.
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise CannotStart(f"the flow cannot be loaded: {why}") from None
    values = {name: given["value"] for name, given in connections.items()}
    fixed = {"connections": values} if "connections" in parameters else {}
    return FunctionScorer(function, parameters, hints, fixed)


class FunctionScorer:
    """A function that is loaded; `fixed` are arguments that no request has."""

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
        """Call the function once. It does not stream."""
        try:
            if inspect.iscoroutinefunction(self._function):
                return await self._function(**inputs, **self._fixed)
            return await asyncio.to_thread(self._function, **inputs, **self._fixed)
        except Exception as error:
            # Callers learn what kind of error it was: its text may quote a secret.
            kind = type(error).__name__
            raise FlowFailed(f"the function failed: {kind}", f"{kind}: {error}") from error


def _json_type(hint: Any) -> str:
    return TYPES.get(typing.get_origin(hint) or hint, "any")


def _outputs(hint: Any) -> dict[str, Field]:
    """Return the fields of a TypedDict; anything else is one bare value."""
    if typing.is_typeddict(hint):
        return {
            name: Field(_json_type(given)) for name, given in typing.get_type_hints(hint).items()
        }
    return {"output": Field(_json_type(hint))}
