"""Load a flow of promptflow, and choose how it is scored."""

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

from ..scorer import CannotStart, Scorer
from ..settings import Settings
from . import linear, pictures, retries, shortcuts, transport
from .picture_urls import Hosts
from .scorers import DagScorer, FunctionScorer, RecordedScorer, streaming

log = logging.getLogger("serve.promptflow")


def load(
    about: Mapping[str, Any],
    folder: Path,
    connections: dict[str, dict[str, Any]],
    settings: Settings,
) -> Scorer:
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
    if settings.shortcuts:
        # Before the flow makes its clients.
        transport.install()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        invoker = AsyncFlowInvoker(
            flow=Flow.load(folder / about["entry"]),
            connections=connections,
            streaming=streaming.get,
            raise_ex=False,
            storage=DummyRunStorage(),
            init_kwargs=init,
            logger=logging.getLogger("promptflow.invoker"),
        )
    except Exception as error:
        log.debug("the flow cannot be loaded", exc_info=True)
        raise CannotStart(f"the flow cannot be loaded: {_one_line(error)}") from None
    _require_connection(invoker, connections)
    retries.install()
    linear.install()
    defaults = [spec.default for spec in invoker.flow.inputs.values()]
    pictures.install(folder, defaults, Hosts.declared(about.get("pictures") or {}))
    _limit_clients(invoker, settings.timeout)
    if settings.shortcuts:
        shortcuts.install()
    return _scorer(invoker, about["kind"], settings)


def _scorer(invoker: AsyncFlowInvoker, kind: str, settings: Settings) -> Scorer:
    try:
        hidden = set(get_output_fields_to_remove(invoker.flow, log))
    except ValueError:
        name = "PROMPTFLOW_RESPONSE_INCLUDED_FIELDS"
        raise CannotStart(f"{name} is no JSON list of outputs: correct or unset it") from None
    if not settings.shortcuts:
        return RecordedScorer(invoker, hidden, settings.patience)
    if kind == "dag":
        return DagScorer(invoker, hidden, settings.patience, settings.threads)
    return FunctionScorer(invoker, hidden, settings.patience)


def _limit_clients(invoker: AsyncFlowInvoker, seconds: float) -> None:
    """Let no LLM node wait for its model longer than a request may take; by itself it is 600 s."""
    tools = getattr(invoker.executor, "_tools_manager", None)
    for tool in tools._tools.values() if tools else ():
        # A tool that is a method of an object: the decorators around it keep what they wrap.
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


def _one_line(error: BaseException) -> str:
    """Return the innermost reason in one line: the errors around it say less."""
    while error.__cause__ is not None:
        error = error.__cause__
    name = type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{name}: {error.msg} ({Path(error.filename or '?').name}, line {error.lineno})"
    text = " ".join(str(error).split())
    return text if isinstance(error, PromptflowException) else f"{name}: {text}"
