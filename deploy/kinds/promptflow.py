"""Prompt flow's three kinds. How they are scored is in deploy/runtime/pf."""

from __future__ import annotations

from collections.abc import Iterable

from deploy import documents
from deploy.documents import show
from deploy.errors import DeployError
from deploy.kinds.base import Kind, files_like
from deploy.model import Flow

SCORER = "pf.loading"
# Connections to what speaks openai's protocol.
MODELS = {"azure_open_ai", "open_ai", "serverless"}


def _includes(flow: Flow) -> list[str]:
    data = documents.load(flow.folder / flow.entry).data
    includes = data.get("additional_includes") or []
    if not isinstance(includes, list):
        where = f"{show(flow.folder / flow.entry)}: additional_includes"
        raise DeployError(where, "a list of paths is expected", "write one `- path` a line")
    return [str(include) for include in includes]


def _openai(flow: Flow) -> tuple[str, ...]:
    return ("openai",)


def _openai_for_models(flow: Flow) -> tuple[str, ...]:
    """Only of a DAG flow without a connection to a model is it known that it talks to none."""
    types = {declaration["type"] for declaration in flow.connections.values()}
    return ("openai",) if types & MODELS else ()


def _core(flow: Flow) -> tuple[str, ...]:
    return ("promptflow-core",)


def _core_and_tools(flow: Flow) -> Iterable[str]:
    yield "promptflow-core"
    nodes = documents.load(flow.folder / flow.entry).texts()
    if any(keys[-1] == "type" and text in ("llm", "prompt") for keys, text in nodes):
        yield "promptflow-tools"


def _of_nodes(flow: Flow) -> Iterable[tuple[str, str]]:
    """What nodes name; the code of a flex flow and the front of a prompty are read at the start."""
    document = documents.load(flow.folder / flow.entry)
    for keys, name in document.texts():
        of_node = keys[0] in ("nodes", "node_variants") and keys[-1] == "connection"
        # An empty name is what the editor writes for "none"; a reference is known at run time.
        if of_node and name and "${" not in name:
            yield document.where(keys), name


DAG = Kind(
    "dag",
    "flow.dag.yaml",
    files_like("flow.dag.yaml"),
    SCORER,
    promptflow=True,
    includes=_includes,
    asks=_openai_for_models,
    needs=_core_and_tools,
    connections=_of_nodes,
)
FLEX = Kind(
    "flex",
    "flow.flex.yaml",
    files_like("flow.flex.yaml"),
    SCORER,
    promptflow=True,
    includes=_includes,
    asks=_openai,
    needs=_core,
)
PROMPTY = Kind(
    "prompty",
    "one *.prompty file",
    files_like("*.prompty"),
    SCORER,
    promptflow=True,
    asks=_openai,
    needs=_core,
)
