"""What the pipeline asks of a target.

A target is one module with a `TARGET`; see docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from deploy.model import Deployment, Image, Plan, Spec, Step
from deploy.schema import PlaceModel, TargetSettings

Prove = Callable[[str, Mapping[str, str]], None]
"""Scores the flow's sample at a URL, with these headers.

Raises `DeployError` unless the answer is good.
"""


class Target(Protocol):
    """A deployment backend.

    `Settings` is the schema of a flow's settings for this target (deploy.yaml), `Place` the schema
    of what environments.yaml says of an environment. Every method may raise `DeployError`.
    """

    Settings: type[TargetSettings]
    Place: type[PlaceModel]

    def engine(self, spec: Spec) -> str | None:
        """Return the address of the engine that must have the image; None for the usual one."""
        ...

    def check(self, spec: Spec) -> None:
        """Raise for what can be known to be missing before anything is built. Asks no service."""
        ...

    def plan(self, spec: Spec, image: Image) -> Plan:
        """Look at what is, and return what would change. Reads only."""
        ...

    def apply(self, plan: Plan, prove: Prove) -> Deployment:
        """Carry `plan` out and return what runs then.

        What ran before keeps serving until the new one is healthy, is the plan's image, and `prove`
        is content with it.
        """
        ...

    def status(self, spec: Spec) -> Deployment | None:
        """Return what runs now, or None. Reads only."""
        ...

    def logs(self, spec: Spec, tail: int) -> Iterator[str]:
        """Yield the last `tail` lines of the log."""
        ...

    def destroy(self, spec: Spec) -> tuple[Step, ...]:
        """Remove what `apply` made for `spec`, and nothing else; return what was removed."""
        ...
