"""Scorers of promptflow's flows: one class for each way to run them."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import AsyncIterator, Iterator, Mapping
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

from ..scorer import Field, FlowError, Stream
from . import image_inputs, retries, spans
from .dag import Graph, GraphRun, NodeError, run_graph, run_graph_async
from .failures import input_rejections, translate_error, translate_record
from .stream_bridge import read_in_threads

# At the start of each LLM node, promptflow asks whether the current request wants a stream.
wants_stream: contextvars.ContextVar[bool] = contextvars.ContextVar("streaming", default=False)

_TYPES = {
    "int": "integer",
    "double": "number",
    "bool": "boolean",
    "string": "string",
    "list": "array",
    "object": "object",
}


class _Scorer:
    """The common part of all scorers: inputs, outputs and the translation of errors.

    `hidden` are names of outputs that the response does not contain. `retry_budget` is the number
    of seconds for which a request may wait before it calls a busy model again, in total.
    """

    def __init__(self, invoker: AsyncFlowInvoker, hidden: set[str], retry_budget: float) -> None:
        self._invoker = invoker
        self._executor = invoker.executor
        self._hidden = hidden
        self._patience = retry_budget
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
        """Run the flow once; see `flow_server.scorer.Scorer`."""
        wants_stream.set(stream)
        retries.set_budget(self._patience)
        image_inputs.set_budget()
        input_rejections.set([])
        try:
            return await self._score(inputs, stream)
        except NodeError as failed:
            failure = translate_error(failed.error, failed.node)
        except PromptflowException as error:
            failure = translate_error(error)
        # Outside of `except`, because otherwise it would keep that error, and the request, alive.
        try:
            raise failure
        finally:
            del failure

    async def _score(self, inputs: dict[str, Any], stream: bool) -> Any:
        raise NotImplementedError

    def _convert_answer(self, output: Any, bare: bool) -> Any:
        """Return the response for `output`; `bare` if the flow returned a single value."""
        return self._build_answer(self._invoker._convert_multimedia_data_to_base64(output), bare)

    def _build_answer(self, output: dict[str, Any], bare: bool) -> Any:
        result = _select_answer(output, self._hidden)
        return result.get("output") if bare and isinstance(result, dict) else result


class DagScorer(_Scorer):
    """The scorer of DAG flows, which uses `dag` instead of promptflow's executor."""

    def __init__(
        self, invoker: AsyncFlowInvoker, hidden: set[str], retry_budget: float, threads: int
    ) -> None:
        super().__init__(invoker, hidden, retry_budget)
        flow = self._executor._flow
        self._may_hold_pictures = image_inputs.can_hold_pictures(flow.inputs)
        self._graph = Graph(flow.nodes, self._executor._tools_manager.get_tool)
        self._helpers = ThreadPoolExecutor(threads, thread_name_prefix="node")

    async def _score(self, inputs: dict[str, Any], stream: bool) -> Any:
        if not self._graph.is_async:
            return await asyncio.to_thread(self._run, inputs, stream)
        if self._may_hold_pictures:
            prepared = await asyncio.to_thread(_prepare_dag_inputs, self._executor, inputs)
        else:
            prepared = _prepare_dag_inputs(self._executor, inputs)
        with spans.trace_dag(self._executor, prepared) as set_outputs:
            outputs = self._collect_outputs(await run_graph_async(self._graph, prepared), prepared)
            if not stream:
                outputs = await self._executor._stringify_generator_output_async(outputs)
            set_outputs(outputs)
        return self._convert_answer(outputs, bare=False)

    def _run(self, inputs: dict[str, Any], stream: bool) -> Any:
        prepared = _prepare_dag_inputs(self._executor, inputs)
        with spans.trace_dag(self._executor, prepared) as set_outputs:
            outputs = self._collect_outputs(
                run_graph(self._graph, prepared, self._helpers), prepared
            )
            if not stream:
                outputs = self._executor._stringify_generator_output(outputs)
            set_outputs(outputs)
        return self._convert_answer(outputs, bare=False)

    def _collect_outputs(self, run: GraphRun, inputs: Mapping[str, Any]) -> dict[str, Any]:
        outputs: dict[str, Any] = self._executor._extract_outputs(
            run.results(), run.bypassed, inputs
        )
        return outputs


class FunctionScorer(_Scorer):
    """The scorer of flex flows and prompties: one function, on the event loop if it is async."""

    async def _score(self, inputs: dict[str, Any], stream: bool) -> Any:
        if self._executor._is_async:
            return await self._run_async(inputs, stream)
        return await asyncio.to_thread(self._run, inputs, stream)

    def _run(self, inputs: dict[str, Any], stream: bool) -> Any:
        values = self._prepare_inputs(inputs)
        try:
            with spans.trace_function(self._executor):
                output = self._executor._func(**values)
                if not stream:
                    output = self._executor._stringify_generator_output(output)
        except Exception as error:
            raise translate_error(error) from None
        return self._convert_output(output)

    async def _run_async(self, inputs: dict[str, Any], stream: bool) -> Any:
        values = self._prepare_inputs(inputs)
        try:
            with spans.trace_function(self._executor):
                output = self._executor._func_async(**values)
                # The result of an async generator function cannot be awaited.
                if inspect.isawaitable(output):
                    output = await output
                if not stream:
                    output = await self._executor._stringify_generator_output_async(output)
        except Exception as error:
            raise translate_error(error) from None
        return self._convert_output(output)

    def _prepare_inputs(self, inputs: dict[str, Any]) -> Mapping[str, Any]:
        executor = self._executor
        values = executor._apply_sample_inputs(inputs=inputs)
        values = apply_default_value_for_input(executor._inputs_sign, values)
        values = {name: values[name] for name in executor._inputs if name in values}
        converted: Mapping[str, Any] = FlowValidator._ensure_flow_inputs_type_inner(
            executor._inputs_sign, values
        )
        return converted

    def _convert_output(self, output: Any) -> Any:
        bare = not isinstance(output, dict) and not is_dataclass(output)
        return self._convert_answer(convert_eager_flow_output_to_dict(output), bare)


class ExecutorScorer(_Scorer):
    """The scorer of all flows without patches: promptflow's own executor, records and traces."""

    async def _score(self, inputs: dict[str, Any], stream: bool) -> Any:
        is_dag = not isinstance(self._executor, ScriptExecutor)
        if is_dag and image_inputs.can_hold_pictures(self._invoker.flow.inputs):
            # promptflow would load images on the event loop, and its errors do not name the input.
            inputs = await asyncio.to_thread(_prepare_dag_inputs, self._executor, inputs)
        if getattr(self._executor, "_is_async", False):
            result = await self._invoker.invoke_async(inputs, disable_input_output_logging=True)
        else:
            result = await asyncio.to_thread(
                self._invoker.invoke, inputs, disable_input_output_logging=True
            )
        if result.run_info.status != Status.Completed:
            failed = [r.node for r in result.node_run_infos.values() if r.status == Status.Failed]
            raise translate_record(ErrorResponse(result.run_info.error or {}), ", ".join(failed))
        return self._build_answer(result.output or {}, result.response_original_value)


def _prepare_dag_inputs(executor: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of a DAG flow with defaults, converted types and loaded images."""
    flow = executor._flow
    values = apply_default_value_for_input(flow.inputs, inputs)
    values = FlowValidator.ensure_flow_inputs_type(flow=flow, inputs=values)
    return image_inputs.load_pictures(executor._multimedia_processor, flow.inputs, values)


def _select_answer(outputs: Mapping[str, Any], hidden: set[str]) -> dict[str, Any] | Stream:
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
