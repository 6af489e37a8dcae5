"""Run the nodes of a DAG flow as promptflow's executor does, without its records of runs.

promptflow makes a thread pool, a run tracker and a record of each node for every request, which
only its batch runs and its traces read. Here a request runs in the one thread that it has; nodes
that are ready side by side get threads of their own, and async nodes run on the event loop.
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
class NodeFailed(Exception):
    """A node's function raised `error`."""

    node: str
    error: Exception


@dataclass(frozen=True)
class Node:
    """A node, with all that can be known of it before a request.

    `optional` names the inputs whose parameter has a default value.
    """

    name: str
    call: Callable[..., Any]
    is_async: bool
    inputs: tuple[tuple[str, InputAssignment], ...]
    optional: frozenset[str]
    condition: InputAssignment | None
    condition_value: Any
    needs: frozenset[str]

    @property
    def referenced(self) -> list[str]:
        """The nodes whose outputs are inputs of this one."""
        return [i.value for _, i in self.inputs if i.value_type == InputValueType.NODE_REFERENCE]


class Graph:
    """The nodes of a flow and what depends on what. The same for all requests."""

    def __init__(
        self, nodes: Iterable[FlowNode], tool: Callable[[str], Callable[..., Any]]
    ) -> None:
        # A node that aggregates is for batch runs.
        self.nodes = tuple(_node(node, tool(node.name)) for node in nodes if not node.aggregation)
        self.dependents: Mapping[str, list[Node]] = {
            node.name: [other for other in self.nodes if node.name in other.needs]
            for node in self.nodes
        }
        self.is_async = any(node.is_async for node in self.nodes)


def _node(node: FlowNode, call: Callable[..., Any]) -> Node:
    # promptflow's decorators keep the function that they wrap.
    written = getattr(call, "__original_function", call)
    activate = node.activate
    references = [*node.inputs.values(), *([activate.condition] if activate else [])]
    parameters = inspect.signature(call).parameters
    return Node(
        name=node.name,
        call=call,
        is_async=inspect.iscoroutinefunction(written) or inspect.iscoroutinefunction(call),
        inputs=tuple(node.inputs.items()),
        optional=frozenset(
            name for name, p in parameters.items() if p.default is not inspect.Parameter.empty
        ),
        condition=activate.condition if activate else None,
        condition_value=activate.condition_value if activate else None,
        needs=frozenset(
            i.value for i in references if i.value_type == InputValueType.NODE_REFERENCE
        ),
    )


class Line:
    """One request on its way through the graph: outputs so far, and what waits for them."""

    def __init__(self, graph: Graph, inputs: Mapping[str, Any]) -> None:
        self._graph = graph
        self._inputs = inputs
        self._missing = {node.name: len(node.needs) for node in graph.nodes}
        self.outputs: dict[str, Any] = {}
        self.bypassed: set[str] = set()

    def begin(self) -> list[Node]:
        """Return the nodes that need no other."""
        return self._runnable([node for node in self._graph.nodes if not node.needs])

    def finish(self, node: Node, output: Any) -> list[Node]:
        """Take the output of `node`; return the nodes that can run now and could not before."""
        self.outputs[node.name] = output
        return self._runnable(self._released(node))

    def arguments(self, node: Node) -> dict[str, Any]:
        """Return what `node` is called with.

        An input from a node that did not run takes the parameter's default, or else None.
        """
        values = {}
        for name, assignment in node.inputs:
            if not self._is_bypassed(assignment):
                values[name] = parse_value(assignment, self.outputs, self._inputs)
            elif name not in node.optional:
                values[name] = None
        return values

    def results(self) -> dict[str, Any]:
        """Return the outputs of all nodes; None for those that did not run."""
        return {**self.outputs, **dict.fromkeys(self.bypassed)}

    def _released(self, node: Node) -> list[Node]:
        released = []
        for dependent in self._graph.dependents[node.name]:
            self._missing[dependent.name] -= 1
            if not self._missing[dependent.name]:
                released.append(dependent)
        return released

    def _runnable(self, ready: list[Node]) -> list[Node]:
        """Return those of `ready` that run; a node that is bypassed may release further ones."""
        runnable = []
        for node in ready:
            # `ready` grows while it is read.
            if self._bypasses(node):
                self.bypassed.add(node.name)
                ready.extend(self._released(node))
            else:
                runnable.append(node)
        return runnable

    def _bypasses(self, node: Node) -> bool:
        if node.condition is not None:
            if self._is_bypassed(node.condition):
                return True
            value = parse_value(node.condition, self.outputs, self._inputs)
            return bool(value != node.condition_value)
        referenced = node.referenced if self.bypassed else []
        return bool(referenced) and self.bypassed.issuperset(referenced)

    def _is_bypassed(self, assignment: InputAssignment) -> bool:
        return (
            assignment.value_type == InputValueType.NODE_REFERENCE
            and assignment.value in self.bypassed
        )


def run(graph: Graph, inputs: Mapping[str, Any], helpers: ThreadPoolExecutor) -> Line:
    """Run a graph without async nodes in this thread; nodes side by side in threads of `helpers`.

    Raises `NodeFailed` for the first node that fails. Those that run then come to their end.
    """
    line = Line(graph, inputs)
    ready = line.begin()
    running: dict[Future[Any], Node] = {}
    try:
        while ready or running:
            if len(ready) == 1 and not running:
                (node,) = ready
                ready = line.finish(node, _call(node, line.arguments(node)))
                continue
            for node in ready:
                context = contextvars.copy_context()
                future = helpers.submit(context.run, _call, node, line.arguments(node))
                running[future] = node
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            ready = [
                released
                for future in done
                for released in line.finish(running.pop(future), future.result())
            ]
    finally:
        for future in running:
            future.cancel()
    return line


async def run_async(graph: Graph, inputs: Mapping[str, Any]) -> Line:
    """Run a graph on the event loop: async nodes there, all else in its default threads.

    Raises `NodeFailed` for the first node that fails. Async nodes that run then are cancelled.
    """
    line = Line(graph, inputs)
    ready = line.begin()
    running: dict[asyncio.Task[Any], Node] = {}
    try:
        while ready or running:
            for node in ready:
                running[asyncio.ensure_future(_awaited(node, line.arguments(node)))] = node
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            ready = [
                released
                for task in done
                for released in line.finish(running.pop(task), task.result())
            ]
    finally:
        for task in running:
            task.cancel()
    return line


async def _awaited(node: Node, arguments: dict[str, Any]) -> Any:
    if not node.is_async:
        return await asyncio.to_thread(_call, node, arguments)
    try:
        with spans.node(node.name):
            result: Awaitable[Any] = node.call(**arguments)
            return await result
    except Exception as error:
        raise _failure(node, error) from None


def _call(node: Node, arguments: dict[str, Any]) -> Any:
    try:
        with spans.node(node.name):
            return node.call(**arguments)
    except Exception as error:
        raise _failure(node, error) from None


def _failure(node: Node, error: Exception) -> NodeFailed:
    """Return `error` as promptflow tells it: errors of a node's own code are wrapped in its own."""
    if isinstance(error, PromptflowException):
        return NodeFailed(node.name, error)
    function = getattr(node.call, "func", node.call)
    wrapped = ToolExecutionError(node_name=node.name, module=function.__module__)
    wrapped.__cause__ = error
    return NodeFailed(node.name, wrapped)
