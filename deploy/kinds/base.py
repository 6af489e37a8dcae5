"""The interface of a kind of flow: how the tool detects, packages and scores it.

docs/extending-kinds.md has a complete example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.core.entities import Flow

FlowNames = Callable[[Flow], Iterable[str]]


def _no_names(flow: Flow) -> Iterable[str]:
    return ()


def _no_connections(flow: Flow) -> Iterable[tuple[str, str]]:
    return ()


@dataclass(frozen=True)
class Kind:
    """A kind of flow."""

    name: str
    # The files that make a folder a flow of this kind, for display.
    description: str
    # Returns the files in a folder that make it a flow of this kind.
    entries: Callable[[Path], list[Path]]
    # The module that scores the flow in the image, below the package `flow_server`. It has the
    # interface of `deploy/server/scorer.py`.
    scorer: str
    # A folder that becomes part of `flow_server`, for a scorer that is not in deploy/server.
    code: Path | None = None
    # Whether `pf flow build` packages the flow, and its image has stubs for parts of promptflow.
    # Any other flow is packaged as it is.
    promptflow: bool = False
    # Paths, relative to the flow's folder, of files outside of it that belong to the flow.
    includes: FlowNames = _no_names
    # Requirements in addition to the flow's requirements.txt.
    extra_requirements: FlowNames = _no_names
    # Packages without which the flow cannot run.
    required_packages: FlowNames = _no_names
    # Each place (file and line) where the flow names a connection, with that name.
    connections: Callable[[Flow], Iterable[tuple[str, str]]] = _no_connections


def find_by_pattern(pattern: str) -> Callable[[Path], list[Path]]:
    """Return a function for `Kind.entries` that returns the files matching `pattern`."""
    return lambda folder: sorted(folder.glob(pattern))
