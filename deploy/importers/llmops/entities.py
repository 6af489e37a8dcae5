"""Values of an import: the template's use case, and the files made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.importers.llmops.source import Source


@dataclass(frozen=True)
class Note:
    """A note for the user about an entry in the source files."""

    # The file and line of the entry.
    where: str
    what: str
    # What to do about it.
    then: str


@dataclass(frozen=True)
class Dataset:
    """Data for a run.

    The data of an evaluator are joined, row by row, with the data of its run.
    """

    # A path below the use case's folder, or an address in Azure.
    source: str
    where: str
    # The column of the data, by input.
    mappings: Mapping[str, Any]


@dataclass(frozen=True)
class Evaluator:
    """An evaluation flow and its data."""

    flow: str
    where: str
    mappings: Mapping[str, Any]
    # The data with which the flow ran.
    run: Dataset | None
    # The data of the evaluation itself.
    data: Dataset | None


@dataclass(frozen=True)
class Endpoint:
    """An entry of a deployment configuration."""

    # The template's name for the type of endpoint.
    kind: str
    environment: str
    source: Source


@dataclass(frozen=True)
class Workspace:
    """The location of an environment in Azure; values missing in the source files are empty."""

    environment: str
    where: str
    subscription: str = ""
    resource_group: str = ""
    workspace: str = ""


@dataclass(frozen=True)
class DeclaredConnection:
    """A connection that the use case's configuration describes."""

    name: str
    # A connection type of this project; None if the template's type is unknown.
    type: str | None
    source: Source


@dataclass(frozen=True)
class UseCase:
    """A use case as its configuration describes it."""

    # The folder of the template's repository.
    root: Path
    # The use case's folder below `root`; paths in the other fields are relative to it.
    folder: Path
    flow: str
    flow_where: str
    datasets: tuple[Dataset, ...]
    evaluators: tuple[Evaluator, ...]
    endpoints: tuple[Endpoint, ...]
    workspaces: tuple[Workspace, ...]
    connections: tuple[DeclaredConnection, ...]
    unsupported: tuple[Note, ...]


@dataclass(frozen=True)
class File:
    """The content of a file to write, and the source file that it was made from."""

    content: bytes
    origin: str


@dataclass(frozen=True)
class FlowFiles:
    """A flow of the use case: its files and its declarations."""

    name: str
    kind: str
    entry: str
    # By path below the flow's folder.
    files: Mapping[str, File]
    # As the flow declares them.
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    init: Mapping[str, Any]
    # Connection name → where the flow uses it, and its type in this project if it is known.
    connections: Mapping[str, tuple[str, str | None]]
    expected_answer: Any
    unsupported: tuple[Note, ...]


@dataclass(frozen=True)
class Import:
    """All files and values that an import would write."""

    flow: str
    # By path in this repository.
    files: Mapping[str, File]
    # The text to append to environments.yaml.
    environments: str
    # The names of the environments in that text.
    new_environments: tuple[str, ...]
    # Variables to set, with their purposes.
    variables: Mapping[str, str]
    assumptions: tuple[Note, ...]
    unsupported: tuple[Note, ...]
