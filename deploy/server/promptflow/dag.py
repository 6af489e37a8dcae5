"""Run the nodes of a DAG flow as promptflow's executor does, without its run records.

For every request, promptflow creates a thread pool, a run tracker and a record of each node. Only
its batch runs and traces read them. Here a request runs in its own thread. Nodes that can run in
parallel get additional threads, and async nodes run on the event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from promptflow._core._errors import ToolExecutionError
from promptflow.contracts.flow import InputAssignment, InputValueType
from promptflow.contracts.flow import Node as FlowNode
from promptflow.exceptions import PromptflowException
from promptflow.executor._input_assignment_parser import parse_value

from . import spans


@dataclass
class NodeError(Exception):
    """An error that the function of a node has raised."""

    # The name of the node.
    node: str
    error: Exception


@dataclass(frozen=True)
class Node:
    """A node of a flow, with all that is the same for each request."""

    name: str
    call: Callable[..., Any]
    is_async: bool
    inputs: tuple[tuple[str, InputAssignment], ...]
    # The inputs whose parameter has a default value.
    optional: frozenset[str]
    # The node runs only if `condition` is equal to `condition_value`.
    condition: InputAssignment | None
    condition_value: Any
    # The nodes whose outputs this node needs.
    dependencies: frozenset[str]

    @property
    def referenced(self) -> list[str]:
        """Return the nodes whose outputs are inputs of this node."""
        return [i.value for _, i in self.inputs if i.value_type == InputValueType.NODE_REFERENCE]


class Graph:
    """The nodes of a flow and their dependencies, which are the same for all requests."""

    def __init__(
        self, nodes: Iterable[FlowNode], tool: Callable[[str], Callable[..., Any]]
    ) -> None:
        # Aggregation nodes are only for batch runs.
        self.nodes = tuple(_node(node, tool(node.name)) for node in nodes if not node.aggregation)
        self.dependents: Mapping[str, list[Node]] = {
            node.name: [other for other in self.nodes if node.name in other.dependencies]
            for node in self.nodes
        }
        self.is_async = any(node.is_async for node in self.nodes)


def _node(node: FlowNode, call: Callable[..., Any]) -> Node:
    # promptflow's decorators keep the function that they wrap.
    original = getattr(call, "__original_function", call)
    activate = node.activate
    references = [*node.inputs.values(), *([activate.condition] if activate else [])]
    parameters = inspect.signature(call).parameters
    return Node(
        name=node.name,
        call=call,
        is_async=inspect.iscoroutinefunction(original) or inspect.iscoroutinefunction(call),
        inputs=tuple(node.inputs.items()),
        optional=frozenset(
            name for name, p in parameters.items() if p.default is not inspect.Parameter.empty
        ),
        condition=activate.condition if activate else None,
        condition_value=activate.condition_value if activate else None,
        dependencies=frozenset(
            i.value for i in references if i.value_type == InputValueType.NODE_REFERENCE
        ),
    )


class GraphRun:
    """The state of one request: the outputs so far, and the nodes that wait for them."""

    def __init__(self, graph: Graph, inputs: Mapping[str, Any]) -> None:
        self._graph = graph
        self._inputs = inputs
        self._missing = {node.name: len(node.dependencies) for node in graph.nodes}
        self.outputs: dict[str, Any] = {}
        self.bypassed: set[str] = set()

    def begin(self) -> list[Node]:
        """Return the nodes without dependencies that run."""
        return self._select_runnable([node for node in self._graph.nodes if not node.dependencies])

    def complete_node(self, node: Node, output: Any) -> list[Node]:
        """Store the output of `node`, and return the nodes that can run because of it."""
        self.outputs[node.name] = output
        return self._select_runnable(self._release_dependents(node))

    def arguments(self, node: Node) -> dict[str, Any]:
        """Return the arguments for `node`.

        An input from a bypassed node takes the default of its parameter, or None without a default.
        """
        values = {}
        for name, assignment in node.inputs:
            if not self._is_input_bypassed(assignment):
                values[name] = parse_value(assignment, self.outputs, self._inputs)
            elif name not in node.optional:
                values[name] = None
        return values

    def results(self) -> dict[str, Any]:
        """Return the outputs of all nodes; None for bypassed nodes."""
        return {**self.outputs, **dict.fromkeys(self.bypassed)}

    def _release_dependents(self, node: Node) -> list[Node]:
        released = []
        for dependent in self._graph.dependents[node.name]:
            self._missing[dependent.name] -= 1
            if not self._missing[dependent.name]:
                released.append(dependent)
        return released

    def _select_runnable(self, ready: list[Node]) -> list[Node]:
        """Return the nodes of `ready` that run; a bypassed node may release further nodes."""
        runnable = []
        for node in ready:
            # `ready` grows during the iteration.
            if self._is_node_bypassed(node):
                self.bypassed.add(node.name)
                ready.extend(self._release_dependents(node))
            else:
                runnable.append(node)
        return runnable

    def _is_node_bypassed(self, node: Node) -> bool:
        if node.condition is not None:
            if self._is_input_bypassed(node.condition):
                return True
            value = parse_value(node.condition, self.outputs, self._inputs)
            return bool(value != node.condition_value)
        referenced = node.referenced if self.bypassed else []
        return bool(referenced) and self.bypassed.issuperset(referenced)

    def _is_input_bypassed(self, assignment: InputAssignment) -> bool:
        return (
            assignment.value_type == InputValueType.NODE_REFERENCE
            and assignment.value in self.bypassed
        )


def run_graph(graph: Graph, inputs: Mapping[str, Any], helpers: ThreadPoolExecutor) -> GraphRun:
    """Run a graph without async nodes in this thread, and parallel nodes in threads of `helpers`.

    Raises `NodeError` for the first node that fails. Nodes that are running then still finish.
    """
    run = GraphRun(graph, inputs)
    ready = run.begin()
    running: dict[Future[Any], Node] = {}
    try:
        while ready or running:
            if len(ready) == 1 and not running:
                (node,) = ready
                ready = run.complete_node(node, _call(node, run.arguments(node)))
                continue
            for node in ready:
                context = contextvars.copy_context()
                future = helpers.submit(context.run, _call, node, run.arguments(node))
                running[future] = node
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            ready = [
                released
                for future in done
                for released in run.complete_node(running.pop(future), future.result())
            ]
    finally:
        for future in running:
            future.cancel()
    return run


async def run_graph_async(graph: Graph, inputs: Mapping[str, Any]) -> GraphRun:
    """Run a graph: async nodes on the event loop, other nodes in the loop's default threads.

    Raises `NodeError` for the first node that fails. Async nodes that are running are cancelled.
    """
    run = GraphRun(graph, inputs)
    ready = run.begin()
    running: dict[asyncio.Task[Any], Node] = {}
    try:
        while ready or running:
            for node in ready:
                running[asyncio.ensure_future(_call_node_async(node, run.arguments(node)))] = node
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            ready = [
                released
                for task in done
                for released in run.complete_node(running.pop(task), task.result())
            ]
    finally:
        for task in running:
            task.cancel()
    return run


async def _call_node_async(node: Node, arguments: dict[str, Any]) -> Any:
    if not node.is_async:
        return await asyncio.to_thread(_call, node, arguments)
    try:
        with spans.trace_node(node.name):
            result: Awaitable[Any] = node.call(**arguments)
            return await result
    except Exception as error:
        raise _wrap_error(node, error) from None


def _call(node: Node, arguments: dict[str, Any]) -> Any:
    try:
        with spans.trace_node(node.name):
            return node.call(**arguments)
    except Exception as error:
        raise _wrap_error(node, error) from None


def _wrap_error(node: Node, error: Exception) -> NodeError:
    """Return `error` as promptflow reports it: errors of a node's code as `ToolExecutionError`."""
    if isinstance(error, PromptflowException):
        return NodeError(node.name, error)
    function = getattr(node.call, "func", node.call)
    wrapped = ToolExecutionError(node_name=node.name, module=function.__module__)
    wrapped.__cause__ = error
    return NodeError(node.name, wrapped)
