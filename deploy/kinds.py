"""The kinds of flow: how each is recognised.

The other half of a kind is in the image: `deploy/runtime/serve.py` names the module that scores it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.documents import show
from deploy.errors import DeployError


@dataclass(frozen=True)
class Kind:
    """`entries` returns the files in a folder that make it a flow of this kind."""

    name: str
    description: str
    entries: Callable[[Path], list[Path]]


def _glob(pattern: str) -> Callable[[Path], list[Path]]:
    return lambda folder: sorted(folder.glob(pattern))


KINDS = (
    Kind("dag", "flow.dag.yaml", _glob("flow.dag.yaml")),
    Kind("flex", "flow.flex.yaml", _glob("flow.flex.yaml")),
    Kind("prompty", "one *.prompty file", _glob("*.prompty")),
)


def detect(folder: Path) -> tuple[str, str]:
    """Return the kind of flow in `folder` and the name of its entry file.

    A prompty beside a flow.dag.yaml or flow.flex.yaml belongs to that flow. Raises `DeployError`
    where there is no flow, or no telling which.
    """
    for kind in KINDS:
        entries = kind.entries(folder)
        if len(entries) > 1:
            names = ", ".join(entry.name for entry in entries)
            raise DeployError(
                show(folder), f"more than one flow: {names}", "keep one of them in this folder"
            )
        if entries:
            return kind.name, entries[0].name
    wanted = ", ".join(kind.description for kind in KINDS)
    raise DeployError(
        show(folder), "there is no flow in this folder", f"a flow has one of: {wanted}"
    )
