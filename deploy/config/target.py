"""The interface between the delivery pipeline and a target.

A target is one module with a `TARGET`; see docs/extending.md. It may also have the attributes
`infrastructure` (`deploy.infra.target`) and `llmops` (`deploy.config.endpoint_import`), and an
advice file (`deploy.advise.options`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeGuard

from typing_extensions import TypeVar

from deploy.config.schema import PlaceModel, TargetSettings
from deploy.core.entities import Deployment, Image, Plan, Spec, Step
from deploy.core.errors import Problem

SettingsT = TypeVar("SettingsT", bound=TargetSettings, default=TargetSettings)
PlaceT = TypeVar("PlaceT", bound=PlaceModel, default=PlaceModel)

AnySpec = Spec[TargetSettings, PlaceModel]
"""A spec for any target: it has the settings that all targets share."""
AnyPlan = Plan[TargetSettings, PlaceModel]

SmokeTest = Callable[[str, Mapping[str, str]], None]
"""Scores the flow's sample at a URL, with these headers.

Raises `DeployError` unless the answer is good.
"""


class Target(Protocol[SettingsT, PlaceT]):
    """A deployment backend. Every method may raise `DeployError`."""

    @property
    def Settings(self) -> type[SettingsT]:
        """The schema of a flow's settings for this target, in deploy.yaml."""
        ...

    @property
    def Place(self) -> type[PlaceT]:
        """The schema of an environment in environments.yaml."""
        ...

    def engine(self, spec: Spec[SettingsT, PlaceT]) -> str | None:
        """Return the address of the engine that must have the image; None for the default one."""
        ...

    def check(self, spec: Spec[SettingsT, PlaceT]) -> None:
        """Raise `DeployError` if a requirement is missing.

        Runs before the build, and calls no service.
        """
        ...

    def plan(self, spec: Spec[SettingsT, PlaceT], image: Image) -> Plan[SettingsT, PlaceT]:
        """Return the changes that would bring the target to `spec`. Changes nothing.

        Raises `DeployError` if the plan cannot succeed. An image without a digest is not in the
        registry yet.
        """
        ...

    def apply(
        self, plan: Plan[SettingsT, PlaceT], smoke_test: SmokeTest, wait: bool = True
    ) -> Deployment:
        """Carry out `plan` and return the deployment that runs then.

        The previous version keeps serving until the new version is healthy, runs the plan's image,
        and passes `smoke_test`. Without `wait`, the method may return while a long operation is
        still running; the next plan continues from there.
        """
        ...

    def rollback(self, spec: Spec[SettingsT, PlaceT]) -> Deployment:
        """Return traffic to the previous version, and return the deployment that runs then."""
        ...

    def headers(self, spec: Spec[SettingsT, PlaceT]) -> Mapping[str, str]:
        """Return the headers that authenticate a request. They may hold a key; never show them."""
        ...

    def explain_response(
        self, spec: Spec[SettingsT, PlaceT], status: int, headers: Mapping[str, str]
    ) -> Problem | None:
        """Return the problem behind a response that did not come from the flow's server.

        Return None for a response of the flow's own server: others come from the services in front
        of it. `headers` have lower-case names.
        """
        ...

    def status(self, spec: Spec[SettingsT, PlaceT]) -> Deployment | None:
        """Return the current deployment, or None. Changes nothing."""
        ...

    def logs(self, spec: Spec[SettingsT, PlaceT], tail: int, follow: bool = False) -> Iterator[str]:
        """Yield the last `tail` lines of the log; with `follow`, then each new line."""
        ...

    def destroy(self, spec: Spec[SettingsT, PlaceT]) -> tuple[Step, ...]:
        """Remove all that `apply` created for `spec`, and nothing else; return what was removed."""
        ...


def is_spec_for(
    spec: Spec, target: Target[SettingsT, PlaceT]
) -> TypeGuard[Spec[SettingsT, PlaceT]]:
    """Return whether `spec` has the settings and the place of `target`."""
    return isinstance(spec.settings, target.Settings) and isinstance(spec.place, target.Place)
