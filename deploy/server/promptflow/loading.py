"""Load a DAG flow, a flex flow or a prompty, and choose its scorer."""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptflow._core import entry_meta_generator
from promptflow.core import Flow, _prompty_utils
from promptflow.core._connection_provider._connection_provider import ConnectionProvider
from promptflow.core._connection_provider._dict_connection_provider import DictConnectionProvider
from promptflow.core._serving.flow_invoker import AsyncFlowInvoker
from promptflow.core._serving.utils import get_output_fields_to_remove
from promptflow.exceptions import PromptflowException
from promptflow.storage._run_storage import DummyRunStorage

from ..fast_client import completions, transport, versions
from ..scorer import Scorer, StartupError
from ..settings import Settings
from . import image_inputs, linear_time, patches, retries
from .image_urls import AllowedHosts
from .scorers import DagScorer, ExecutorScorer, FunctionScorer, wants_stream

log = logging.getLogger("serve.promptflow")


def load(
    about: Mapping[str, Any],
    folder: Path,
    connections: dict[str, dict[str, Any]],
    settings: Settings,
) -> Scorer:
    """Load the flow in `folder`; its file is `entry` in `about`.

    Raises `StartupError` with the reason in one line: a connection that the flow uses and
    deploy.yaml does not declare, a syntax error in the flow's code, a class that cannot be
    instantiated.
    """
    init = _init_values(os.environ.get("PF_FLOW_INIT_CONFIG")) or about.get("init") or {}
    # Flex flows and prompties get connections by name from this provider. promptflow's default
    # provider needs the full promptflow package and a store on disk.
    ConnectionProvider._instance = DictConnectionProvider(connections)
    # A prompty would also use the full package to get its connection, for every request.
    _prompty_utils.get_connection_by_name = functools.partial(_connection_values, connections)
    # For a flex flow, promptflow would read the signature in a separate process and write it next
    # to the flow. The root file system is read-only, and this process imports the flow anyway.
    entry_meta_generator.generate_flow_meta = functools.partial(
        entry_meta_generator.generate_flow_meta, dump=False, load_in_subprocess=False
    )
    logging.getLogger(entry_meta_generator.__name__).setLevel(logging.ERROR)
    fast_client = settings.fast_client and versions.is_supported()
    if fast_client:
        # Must come before the flow creates its clients.
        transport.install()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        invoker = AsyncFlowInvoker(
            flow=Flow.load(folder / about["entry"]),
            connections=connections,
            streaming=wants_stream.get,
            raise_ex=False,
            storage=DummyRunStorage(),
            init_kwargs=init,
            logger=logging.getLogger("promptflow.invoker"),
        )
    except Exception as error:
        log.debug("the flow cannot be loaded", exc_info=True)
        raise StartupError(f"the flow cannot be loaded: {_summarize_error(error)}") from None
    _require_connection(invoker, connections)
    retries.install()
    linear_time.install()
    defaults = [spec.default for spec in invoker.flow.inputs.values()]
    image_inputs.install(
        folder, defaults, AllowedHosts.from_declaration(about.get("pictures") or {})
    )
    _set_model_timeout(invoker, settings.timeout)
    if settings.patches:
        patches.install()
    if fast_client:
        completions.install()
    return _scorer(invoker, about["kind"], settings)


def _scorer(invoker: AsyncFlowInvoker, kind: str, settings: Settings) -> Scorer:
    try:
        hidden = set(get_output_fields_to_remove(invoker.flow, log))
    except ValueError:
        name = "PROMPTFLOW_RESPONSE_INCLUDED_FIELDS"
        raise StartupError(f"{name} is not a JSON list of outputs: correct or unset it") from None
    if not settings.patches:
        return ExecutorScorer(invoker, hidden, settings.retry_budget)
    if kind == "dag":
        return DagScorer(invoker, hidden, settings.retry_budget, settings.threads)
    return FunctionScorer(invoker, hidden, settings.retry_budget)


def _set_model_timeout(invoker: AsyncFlowInvoker, seconds: float) -> None:
    """Limit how long an LLM node waits for its model to `seconds`; the SDK's default is 600 s."""
    tools = getattr(invoker.executor, "_tools_manager", None)
    for tool in tools._tools.values() if tools else ():
        # The tool may be a decorated method. The decorators keep the function that they wrap.
        while hasattr(tool, "__wrapped__") or hasattr(tool, "func"):
            tool = getattr(tool, "func", None) or tool.__wrapped__
        client = getattr(getattr(tool, "__self__", None), "_client", None)
        if client is not None and hasattr(client, "timeout"):
            client.timeout = seconds


def _init_values(text: str | None) -> dict[str, Any]:
    try:
        values = json.loads(text or "{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise StartupError("PF_FLOW_INIT_CONFIG is not a JSON object: correct or unset it")
    return values


def _require_connection(invoker: AsyncFlowInvoker, connections: Mapping[str, Any]) -> None:
    """Raise `StartupError` if the prompty's connection is missing.

    promptflow looks for it only at the first request.
    """
    prompty = getattr(invoker.executor, "prompty", None)
    model = prompty._model.configuration if prompty else {}
    name = model.get("connection") if isinstance(model, dict) else None
    if isinstance(name, str) and name not in connections:
        raise StartupError(f"deploy.yaml declares no connection {name}, which the prompty names")


def _connection_values(
    connections: Mapping[str, Mapping[str, Any]], name: str
) -> tuple[dict[str, Any], str]:
    """Return the values of a connection and its type as promptflow spells it: AzureOpenAI."""
    return dict(connections[name]["value"]), connections[name]["type"].removesuffix("Connection")


def _summarize_error(error: BaseException) -> str:
    """Return the innermost cause in one line; the errors around it are less specific."""
    while error.__cause__ is not None:
        error = error.__cause__
    name = type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{name}: {error.msg} ({Path(error.filename or '?').name}, line {error.lineno})"
    text = " ".join(str(error).split())
    return text if isinstance(error, PromptflowException) else f"{name}: {text}"
