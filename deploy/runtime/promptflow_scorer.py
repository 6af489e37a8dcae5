"""Score flows of promptflow: DAG flows, flex flows and prompties.

Everything that reaches behind promptflow's public names is in this module. promptflow gets no new
features (Microsoft Learn: "Migrate from Prompt Flow to Microsoft Agent Framework"), so these names
stay as they are.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from promptflow._core import entry_meta_generator
from promptflow._utils.exception_utils import ErrorResponse
from promptflow.contracts.run_info import Status
from promptflow.core import Flow, _prompty_utils
from promptflow.core._connection_provider._connection_provider import ConnectionProvider
from promptflow.core._connection_provider._dict_connection_provider import DictConnectionProvider
from promptflow.core._serving.flow_invoker import AsyncFlowInvoker
from promptflow.core._serving.utils import get_output_fields_to_remove
from promptflow.exceptions import PromptflowException
from promptflow.storage._run_storage import DummyRunStorage
from starlette.concurrency import iterate_in_threadpool

from .scorer import BadInput, CannotStart, Field, FlowFailed, Scorer, Stream

log = logging.getLogger("serve.promptflow")

# promptflow asks at the start of each LLM node whether the request at hand wants a stream.
_streaming: contextvars.ContextVar[bool] = contextvars.ContextVar("streaming", default=False)

_TYPES = {
    "int": "integer",
    "double": "number",
    "bool": "boolean",
    "string": "string",
    "list": "array",
    "object": "object",
}

# Codes of promptflow's errors that mean: the inputs do not fit the flow.
_INPUT_ERRORS = {
    "InputNotFound",
    "InputTypeError",
    "InputParseError",
    "MissingRequiredFlowInput",
    "MissingRequiredInputError",
    "InvalidImageInput",
    "LoadMultimediaDataError",
}


def load(about: Mapping[str, Any], folder: Path, connections: dict[str, dict[str, Any]]) -> Scorer:
    """Load the flow in `folder` whose file `about` names as `entry`.

    Raises `CannotStart` with the reason in one line: a connection that the flow names and
    deploy.yaml does not declare, a syntax error in the flow's code, a class that cannot be made.
    """
    init = _init_values(os.environ.get("PF_FLOW_INIT_CONFIG")) or about.get("init") or {}
    # Flex flows and prompties ask this provider, by the connection's name. The one that promptflow
    # would make for itself needs the full promptflow package and a store on disk.
    ConnectionProvider._instance = DictConnectionProvider(connections)
    # A prompty, too, would ask the full package for its connection, at every request.
    _prompty_utils.get_connection_by_name = functools.partial(_connection_values, connections)
    # For a flex flow promptflow would read the signature in a process of its own and write it
    # beside the flow: the root file system is read-only, and this process imports the flow in any
    # case.
    entry_meta_generator.generate_flow_meta = functools.partial(
        entry_meta_generator.generate_flow_meta, dump=False, load_in_subprocess=False
    )
    logging.getLogger(entry_meta_generator.__name__).setLevel(logging.ERROR)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        invoker = AsyncFlowInvoker(
            flow=Flow.load(folder / about["entry"]),
            connections=connections,
            streaming=_streaming.get,
            raise_ex=False,
            storage=DummyRunStorage(),
            init_kwargs=init,
            logger=logging.getLogger("promptflow.invoker"),
        )
    except Exception as error:
        log.debug("the flow cannot be loaded", exc_info=True)
        raise CannotStart(f"the flow cannot be loaded: {_one_line(error)}") from None
    _require_connection(invoker, connections)
    try:
        return _PromptflowScorer(invoker)
    except ValueError:
        name = "PROMPTFLOW_RESPONSE_INCLUDED_FIELDS"
        raise CannotStart(f"{name} is no JSON list of outputs: correct or unset it") from None


def _init_values(text: str | None) -> dict[str, Any]:
    try:
        values = json.loads(text or "{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise CannotStart("PF_FLOW_INIT_CONFIG is no JSON object: correct or unset it")
    return values


def _require_connection(invoker: AsyncFlowInvoker, connections: Mapping[str, Any]) -> None:
    """A prompty looks for its connection at the first request only: look now."""
    prompty = getattr(invoker.executor, "prompty", None)
    model = prompty._model.configuration if prompty else {}
    name = model.get("connection") if isinstance(model, dict) else None
    if isinstance(name, str) and name not in connections:
        raise CannotStart(f"deploy.yaml declares no connection {name}, which the prompty names")


def _connection_values(
    connections: Mapping[str, Mapping[str, Any]], name: str
) -> tuple[dict[str, Any], str]:
    """Return the values of a connection, and its type in promptflow's spelling (AzureOpenAI)."""
    return dict(connections[name]["value"]), connections[name]["type"].removesuffix("Connection")


class _PromptflowScorer:
    def __init__(self, invoker: AsyncFlowInvoker) -> None:
        self._invoker = invoker
        # An async flex flow runs on the event loop. promptflow runs all else in threads.
        self._on_loop = getattr(invoker.executor, "_is_async", False)
        self._hidden = set(get_output_fields_to_remove(invoker.flow, log))
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
            if name not in self._hidden
        }

    async def score(self, inputs: dict[str, Any], *, stream: bool) -> Any:
        _streaming.set(stream)
        try:
            if self._on_loop:
                result = await self._invoker.invoke_async(inputs, disable_input_output_logging=True)
            else:
                result = await anyio.to_thread.run_sync(self._invoke, inputs)
        except PromptflowException as error:
            raise _translate(ErrorResponse.from_exception(error), []) from None
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            # Only the flow's own code can raise these here; they must not end the server.
            raise FlowFailed(f"the flow failed ({type(error).__name__})", repr(error)) from None
        if result.run_info.status != Status.Completed:
            failed = [r.node for r in result.node_run_infos.values() if r.status == Status.Failed]
            raise _translate(ErrorResponse(result.run_info.error or {}), failed)
        return self._answer(result)

    def _invoke(self, inputs: dict[str, Any]) -> Any:
        return self._invoker.invoke(inputs, disable_input_output_logging=True)

    def _answer(self, result: Any) -> Any:
        outputs = {k: v for k, v in (result.output or {}).items() if k not in self._hidden}
        streams = [k for k, v in outputs.items() if isinstance(v, (Iterator, AsyncIterator))]
        if len(streams) > 1:
            raise FlowFailed(f"the flow streams more than one output: {', '.join(streams)}")
        if streams:
            chunks = outputs.pop(streams[0])
            if isinstance(chunks, Iterator):
                chunks = _in_threads(chunks)
            return Stream(outputs, streams[0], chunks)
        if result.response_original_value:
            return outputs.get("output")
        return outputs


async def _in_threads(chunks: Iterator[str]) -> AsyncIterator[str]:
    """Yield `chunks`, and close them whatever happens: a client that leaves must free the model."""
    try:
        async for chunk in iterate_in_threadpool(chunks):
            yield chunk
    finally:
        close = getattr(chunks, "close", None)
        if close:
            with anyio.CancelScope(shield=True), contextlib.suppress(Exception):
                await anyio.to_thread.run_sync(close)


def _translate(error: ErrorResponse, failed_nodes: list[str]) -> BadInput | FlowFailed:
    """Tell the client's mistake from the flow's failure.

    promptflow answers both with 400; a caller that retries, and an alert that counts, need to know
    them apart.
    """
    code = error.innermost_error_code or "unknown"
    if code in _INPUT_ERRORS and not failed_nodes:
        return BadInput(error.message, code=code)
    place = f" in node {', '.join(failed_nodes)}" if failed_nodes else ""
    return FlowFailed(f"the flow failed{place} ({code})", _detail(error))


def _detail(error: ErrorResponse) -> str:
    """Return what the log says: the message, and the traceback of the flow's own code."""
    info = error.get_user_execution_error_info()
    return f"{error.message}\n{info.get('traceback', '')}".strip()


def _one_line(error: BaseException) -> str:
    """Return the innermost reason in one line: the errors around it say less."""
    while error.__cause__ is not None:
        error = error.__cause__
    name = type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{name}: {error.msg} ({Path(error.filename or '?').name}, line {error.lineno})"
    text = " ".join(str(error).split())
    return text if isinstance(error, PromptflowException) else f"{name}: {text}"
