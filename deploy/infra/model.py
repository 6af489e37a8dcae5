"""What an environment needs, as values: for the request, and to compare with what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.infra.federation import Federation
from deploy.infra.wanted import Wanted


@dataclass(frozen=True)
class Setting:
    """What a resource must say of itself: `path` leads through its JSON, `why` is for people."""

    path: str
    value: Any
    why: str


@dataclass(frozen=True)
class Resource:
    """A resource: `kind` is Azure's type, `name` has its parents' in front, `api` a version of it.

    `identity` is the id of the user-assigned identity that it must have.
    """

    kind: str
    name: str
    api: str
    id: str
    sku: str
    why: str
    settings: tuple[Setting, ...] = ()
    identity: str = ""

    @property
    def title(self) -> str:
        """Kind and name, for messages: `registries crflows`."""
        return f"{self.kind.rpartition('/')[2]} {self.name}"


@dataclass(frozen=True)
class Assignment:
    """A role: who has it (the name of an identity), on what (a resource's id), and why."""

    who: str
    role: str
    scope: str
    why: str


@dataclass(frozen=True)
class Route:
    """Who must be able to reach whom over the network."""

    source: str
    target: str
    port: int
    why: str


@dataclass(frozen=True)
class Quota:
    """What the subscription must allow in the region, and how that was reckoned."""

    name: str
    amount: int
    unit: str
    why: str


@dataclass(frozen=True)
class Secret:
    """A secret by its name; where it is kept, and who reads it."""

    name: str
    store: str
    reader: str


@dataclass(frozen=True)
class Needs:
    """The whole. `questions` are what nobody has answered yet."""

    wanted: Wanted
    resources: tuple[Resource, ...]
    assignments: tuple[Assignment, ...]
    federations: tuple[Federation, ...]
    routes: tuple[Route, ...]
    quotas: tuple[Quota, ...]
    secrets: tuple[Secret, ...]
    tags: Mapping[str, str]
    questions: tuple[str, ...]
