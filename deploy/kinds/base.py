"""What the project asks of a kind of flow: how it is recognised, packed and scored.

docs/extending-kinds.md shows a whole one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.model import Flow

Names = Callable[[Flow], Iterable[str]]


def _nothing(flow: Flow) -> Iterable[str]:
    return ()


def _nowhere(flow: Flow) -> Iterable[tuple[str, str]]:
    return ()


@dataclass(frozen=True)
class Kind:
    """A kind of flow.

    `entries` returns the files in a folder that make it a flow of this kind; `description` says
    which those are, for people. `scorer` is the module that scores it in the image, as
    `deploy/runtime/scorer.py` has it, named below the package `runtime`; `code` is a folder that
    becomes part of that package, for a kind whose scorer is not in deploy/runtime.

    `promptflow` tells that `pf flow build` packs it, and that its image has what stands in for
    parts of promptflow. Any other flow is packed as it is.

    Of one flow: `includes` are paths from its folder to what belongs to it and lies elsewhere,
    `asks` requirements beside those of its requirements.txt, `needs` packages without which it
    cannot run, `connections` where it names a connection (file and line) and which.
    """

    name: str
    description: str
    entries: Callable[[Path], list[Path]]
    scorer: str
    code: Path | None = None
    promptflow: bool = False
    includes: Names = _nothing
    asks: Names = _nothing
    needs: Names = _nothing
    connections: Callable[[Flow], Iterable[tuple[str, str]]] = _nowhere


def files_like(pattern: str) -> Callable[[Path], list[Path]]:
    """Return the `entries` of a kind whose flows have one file like `pattern`."""
    return lambda folder: sorted(folder.glob(pattern))
