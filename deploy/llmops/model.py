"""What a use case of the template says, and what is made of it: values that do not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.llmops.source import Source


@dataclass(frozen=True)
class Note:
    """Something to look at: where it stands in their files, what about it, what to do."""

    where: str
    what: str
    then: str


@dataclass(frozen=True)
class Dataset:
    """Rows for a run: a path below the use case, and which column each input has.

    An evaluator's is joined, row by row, with that of the run.
    """

    source: str
    where: str
    mappings: Mapping[str, Any]


@dataclass(frozen=True)
class Evaluator:
    """An evaluation flow; `run` is the data that the flow ran with, `data` its own."""

    flow: str
    where: str
    mappings: Mapping[str, Any]
    run: Dataset | None
    data: Dataset | None


@dataclass(frozen=True)
class Endpoint:
    """One entry of a deployment configuration. `kind` is the template's word for it."""

    kind: str
    environment: str
    source: Source


@dataclass(frozen=True)
class Workspace:
    """Where an environment is, as far as their files tell: texts, empty where they do not."""

    environment: str
    where: str
    subscription: str = ""
    resource_group: str = ""
    workspace: str = ""


@dataclass(frozen=True)
class Declared:
    """A connection that their configuration describes; `type` is one of ours, or None."""

    name: str
    type: str | None
    source: Source


@dataclass(frozen=True)
class UseCase:
    """A use case as its configuration tells it; paths are relative to `folder`, below `root`."""

    root: Path
    folder: Path
    flow: str
    flow_where: str
    datasets: tuple[Dataset, ...]
    evaluators: tuple[Evaluator, ...]
    endpoints: tuple[Endpoint, ...]
    workspaces: tuple[Workspace, ...]
    declared: tuple[Declared, ...]
    left: tuple[Note, ...]


@dataclass(frozen=True)
class File:
    """What is written, and which of their files it was made of."""

    content: bytes
    origin: str


@dataclass(frozen=True)
class FlowFiles:
    """A flow of theirs: its files by their path below the folder, and what they tell.

    `connections` maps each name that the flow uses to where, and to a type of ours where the files
    tell it. `inputs` and `outputs` are as the flow declares them.
    """

    name: str
    kind: str
    entry: str
    files: Mapping[str, File]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    init: Mapping[str, Any]
    connections: Mapping[str, tuple[str, str | None]]
    answers: Any
    left: tuple[Note, ...]


@dataclass(frozen=True)
class Import:
    """All that an import would write: nothing of it is there yet.

    `files` are by their path in the repository; `environments` is what is appended to
    environments.yaml, `added` the names in it; `variables` are the names to set, with what for.
    """

    flow: str
    files: Mapping[str, File]
    environments: str
    added: tuple[str, ...]
    variables: Mapping[str, str]
    guessed: tuple[Note, ...]
    left: tuple[Note, ...]
