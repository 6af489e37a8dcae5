"""Score the flows of promptflow, one class for each way to run them."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import is_dataclass
from typing import Any

from promptflow._utils.dataclass_serializer import convert_eager_flow_output_to_dict
from promptflow._utils.exception_utils import ErrorResponse
from promptflow._utils.execution_utils import apply_default_value_for_input
from promptflow.contracts.run_info import Status
from promptflow.core._serving.flow_invoker import AsyncFlowInvoker
from promptflow.exceptions import PromptflowException
from promptflow.executor._script_executor import ScriptExecutor
from promptflow.executor.flow_validator import FlowValidator

from ..scorer import Field
from . import pictures, retries, spans
from .answers import answer
from .dag import Graph, Line, NodeFailed, run, run_async
from .failures import by_code, refusals, translate

# promptflow asks at the start of each LLM node whether the request at hand wants a stream.
streaming: contextvars.ContextVar[bool] = contextvars.ContextVar("streaming", default=False)

_TYPES = {
    "int": "integer",
    "double": "number",
    "bool": "boolean",
    "string": "string",
    "list": "array",
    "object": "object",
}


class _Scorer:
    """What all flows of promptflow share: their inputs and outputs, and how failures are told."""

    def __init__(self, invoker: AsyncFlowInvoker, hidden: set[str], patience: float) -> None:
        self._invoker = invoker
        self._executor = invoker.executor
        self._hidden = hidden
        self._patience = patience
        self.inputs: Mapping[str, Field] = {
            name: Field(
                type=_TYPES.get(spec.type.value, "any"),
                required=spec.default is None,
                description=spec.description or "",
                default=spec.default,
            )
            for name, spec in invoker.flow.inputs.items()
        }
        self.outputs: Mapping[str, Field] = {
            name: Field(type=_TYPES.get(spec.type.value, "any"), description=spec.description or "")
            for name, spec in invoker.flow.outputs.items()
            if name not in hidden
        }

    async def score(self, inputs: dict[str, Any], *, stream: bool) -> Any:
        """Run the flow once; see `runtime.scorer.Scorer`."""
        streaming.set(stream)
        retries.allow(self._patience)
        pictures.allow()
        refusals.set([])
        try:
            return await self._score(inputs, stream)
        except NodeFailed as failed:
            failure = translate(failed.error, failed.node)
        except PromptflowException as error:
            failure = translate(error)
        # Outside of `except`, or it would hold that error, and with it the request.
        try:
            raise failure
        finally:
            del failure

    async def _score(self, inputs: dict[str, Any], stream: bool) -> Any:
        raise NotImplementedError

    def _answer(self, output: Any, bare: bool) -> Any:
        """Return the answer for `output`, a dictionary; `bare` where the flow gave one value."""
        return self._shown(self._invoker._convert_multimedia_data_to_base64(output), bare)

    def _shown(self, output: dict[str, Any], bare: bool) -> Any:
        result = answer(output, self._hidden)
        return result.get("output") if bare and isinstance(result, dict) else result


class DagScorer(_Scorer):
    """A DAG flow, run by `dag`."""

    def __init__(
        self, invoker: AsyncFlowInvoker, hidden: set[str], patience: float, threads: int
    ) -> None:
        super().__init__(invoker, hidden, patience)
        flow = self._executor._flow
        self._may_hold_pictures = pictures.may_hold(flow.inputs)
        self._graph = Graph(flow.nodes, self._executor._tools_manager.get_tool)
        self._helpers = ThreadPoolExecutor(threads, thread_name_prefix="node")

    async def _score(self, inputs: dict[str, Any], stream: bool) -> Any:
        if not self._graph.is_async:
            return await asyncio.to_thread(self._run, inputs, stream)
        if self._may_hold_pictures:
            prepared = await asyncio.to_thread(_prepared, self._executor, inputs)
        else:
            prepared = _prepared(self._executor, inputs)
        with spans.dag(self._executor, prepared) as tell:
            outputs = self._outputs(await run_async(self._graph, prepared), prepared)
            if not stream:
                outputs = await self._executor._stringify_generator_output_async(outputs)
            tell(outputs)
        return self._answer(outputs, bare=False)

    def _run(self, inputs: dict[str, Any], stream: bool) -> Any:
        prepared = _prepared(self._executor, inputs)
        with spans.dag(self._executor, prepared) as tell:
            outputs = self._outputs(run(self._graph, prepared, self._helpers), prepared)
            if not stream:
                outputs = self._executor._stringify_generator_output(outputs)
            tell(outputs)
        return self._answer(outputs, bare=False)

    def _outputs(self, line: Line, inputs: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._executor._extract_outputs(
            line.results(), line.bypassed, inputs
        )
        return found


class FunctionScorer(_Scorer):
    """A flex flow or a prompty: one function. An async one runs on the event loop itself."""

    async def _score(self, inputs: dict[str, Any], stream: bool) -> Any:
        if self._executor._is_async:
            return await self._run_async(inputs, stream)
        return await asyncio.to_thread(self._run, inputs, stream)

    def _run(self, inputs: dict[str, Any], stream: bool) -> Any:
        values = self._prepared(inputs)
        try:
            with spans.function(self._executor):
                output = self._executor._func(**values)
                if not stream:
                    output = self._executor._stringify_generator_output(output)
        except Exception as error:
            raise translate(error) from None
        return self._finished(output)

    async def _run_async(self, inputs: dict[str, Any], stream: bool) -> Any:
        values = self._prepared(inputs)
        try:
            with spans.function(self._executor):
                output = self._executor._func_async(**values)
                # What an async generator function returns cannot be awaited.
                if inspect.isawaitable(output):
                    output = await output
                if not stream:
                    output = await self._executor._stringify_generator_output_async(output)
        except Exception as error:
            raise translate(error) from None
        return self._finished(output)

    def _prepared(self, inputs: dict[str, Any]) -> Mapping[str, Any]:
        executor = self._executor
        values = executor._apply_sample_inputs(inputs=inputs)
        values = apply_default_value_for_input(executor._inputs_sign, values)
        values = {name: values[name] for name in executor._inputs if name in values}
        fitting: Mapping[str, Any] = FlowValidator._ensure_flow_inputs_type_inner(
            executor._inputs_sign, values
        )
        return fitting

    def _finished(self, output: Any) -> Any:
        bare = not isinstance(output, dict) and not is_dataclass(output)
        return self._answer(convert_eager_flow_output_to_dict(output), bare)


class RecordedScorer(_Scorer):
    """Any flow, run by promptflow's executor as it comes, with its records and traces."""

    async def _score(self, inputs: dict[str, Any], stream: bool) -> Any:
        is_dag = not isinstance(self._executor, ScriptExecutor)
        if is_dag and pictures.may_hold(self._invoker.flow.inputs):
            # promptflow would load them on the event loop, and not name the input.
            inputs = await asyncio.to_thread(_prepared, self._executor, inputs)
        if getattr(self._executor, "_is_async", False):
            result = await self._invoker.invoke_async(inputs, disable_input_output_logging=True)
        else:
            result = await asyncio.to_thread(
                self._invoker.invoke, inputs, disable_input_output_logging=True
            )
        if result.run_info.status != Status.Completed:
            failed = [r.node for r in result.node_run_infos.values() if r.status == Status.Failed]
            raise by_code(ErrorResponse(result.run_info.error or {}), ", ".join(failed))
        return self._shown(result.output or {}, result.response_original_value)


def _prepared(executor: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of a DAG flow with defaults, converted to their types, pictures loaded."""
    flow = executor._flow
    values = apply_default_value_for_input(flow.inputs, inputs)
    values = FlowValidator.ensure_flow_inputs_type(flow=flow, inputs=values)
    return pictures.load(executor._multimedia_processor, flow.inputs, values)
