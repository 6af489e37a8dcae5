"""Prompt flow's three kinds. Their scorers are in deploy/server/promptflow."""

from __future__ import annotations

from collections.abc import Iterable

from deploy.core import yaml_files
from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from deploy.core.yaml_files import display_path
from deploy.kinds.base import Kind, find_by_pattern

SCORER = "promptflow.loading"
# Types of connections to services with OpenAI's protocol.
OPENAI_CONNECTION_TYPES = {"azure_open_ai", "open_ai", "serverless"}


def _includes(flow: Flow) -> list[str]:
    data = yaml_files.load(flow.folder / flow.entry).data
    includes = data.get("additional_includes") or []
    if not isinstance(includes, list):
        location = f"{display_path(flow.folder / flow.entry)}: additional_includes"
        raise DeployError(location, "a list of paths is expected", "write one `- path` a line")
    return [str(include) for include in includes]


def _openai_package(flow: Flow) -> tuple[str, ...]:
    return ("openai",)


def _openai_package_if_connected(flow: Flow) -> tuple[str, ...]:
    """Return the openai package if a connection of the flow needs it.

    Only a DAG flow without a connection to a model certainly calls none.
    """
    types = {declaration["type"] for declaration in flow.connections.values()}
    return ("openai",) if types & OPENAI_CONNECTION_TYPES else ()


def _core_package(flow: Flow) -> tuple[str, ...]:
    return ("promptflow-core",)


def _core_and_tools_packages(flow: Flow) -> Iterable[str]:
    yield "promptflow-core"
    nodes = yaml_files.load(flow.folder / flow.entry).strings()
    if any(keys[-1] == "type" and text in ("llm", "prompt") for keys, text in nodes):
        yield "promptflow-tools"


def _node_connections(flow: Flow) -> Iterable[tuple[str, str]]:
    """Yield each connection that a node names, with its place.

    The server reads the code of a flex flow and the front matter of a prompty at its start.
    """
    document = yaml_files.load(flow.folder / flow.entry)
    for keys, name in document.strings():
        of_node = keys[0] in ("nodes", "node_variants") and keys[-1] == "connection"
        # The editor writes an empty name for "none"; a reference is resolved at run time.
        if of_node and name and "${" not in name:
            yield document.where(keys), name


DAG = Kind(
    "dag",
    "flow.dag.yaml",
    find_by_pattern("flow.dag.yaml"),
    SCORER,
    promptflow=True,
    includes=_includes,
    extra_requirements=_openai_package_if_connected,
    required_packages=_core_and_tools_packages,
    connections=_node_connections,
)
FLEX = Kind(
    "flex",
    "flow.flex.yaml",
    find_by_pattern("flow.flex.yaml"),
    SCORER,
    promptflow=True,
    includes=_includes,
    extra_requirements=_openai_package,
    required_packages=_core_package,
)
PROMPTY = Kind(
    "prompty",
    "one *.prompty file",
    find_by_pattern("*.prompty"),
    SCORER,
    promptflow=True,
    extra_requirements=_openai_package,
    required_packages=_core_package,
)
