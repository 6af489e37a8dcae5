"""What the pipeline asks of a target.

A target is one module with a `TARGET`; see docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from deploy.errors import Problem
from deploy.model import Deployment, Image, Plan, Spec, Step
from deploy.schema import PlaceModel, TargetSettings

Prove = Callable[[str, Mapping[str, str]], None]
"""Scores the flow's sample at a URL, with these headers.

Raises `DeployError` unless the answer is good.
"""


class Target(Protocol):
    """A deployment backend. Every method may raise `DeployError`."""

    @property
    def Settings(self) -> type[TargetSettings]:
        """The schema of a flow's settings for this target, in deploy.yaml."""
        ...

    @property
    def Place(self) -> type[PlaceModel]:
        """The schema of what environments.yaml says of an environment."""
        ...

    def engine(self, spec: Spec) -> str | None:
        """Return the address of the engine that must have the image; None for the usual one."""
        ...

    def check(self, spec: Spec) -> None:
        """Raise for what can be known to be missing before anything is built. Asks no service."""
        ...

    def plan(self, spec: Spec, image: Image) -> Plan:
        """Look at what is, and return what would change. Reads only.

        Raises for what cannot work. An image without a digest is not in the registry yet.
        """
        ...

    def apply(self, plan: Plan, prove: Prove, wait: bool = True) -> Deployment:
        """Carry `plan` out and return what runs then.

        What ran before keeps serving until the new one is healthy, is the plan's image, and `prove`
        is content with it. Without `wait`, it may return once a long operation has begun; carrying
        out a new plan goes on from there.
        """
        ...

    def rollback(self, spec: Spec) -> Deployment:
        """Let the version that served before serve again, and return what runs then."""
        ...

    def headers(self, spec: Spec) -> Mapping[str, str]:
        """Return what a request needs to be let in; it may hold a key, so show it nobody."""
        ...

    def refusal(self, spec: Spec, status: int, headers: Mapping[str, str]) -> Problem | None:
        """Return what an answer says that did not come from the flow, but from what is before it.

        None for an answer of the flow's own server. `headers` have lower-case names.
        """
        ...

    def status(self, spec: Spec) -> Deployment | None:
        """Return what runs now, or None. Reads only."""
        ...

    def logs(self, spec: Spec, tail: int, follow: bool = False) -> Iterator[str]:
        """Yield the last `tail` lines of the log; with `follow` then those that come."""
        ...

    def destroy(self, spec: Spec) -> tuple[Step, ...]:
        """Remove what `apply` made for `spec`, and nothing else; return what was removed."""
        ...
