"""What all targets in a cloud have in common; each target adds what its platform requires."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from deploy.config.schema import CloudSettings
from deploy.config.target import PlaceT, SmokeTest
from deploy.core import progress
from deploy.core.entities import Deployment, Plan, Spec
from deploy.core.errors import DeployError
from deploy.targets import log_tail
from deploy.targets.rollout import OperationPending, Rollout

DecisionT = TypeVar("DecisionT")
SettingsT = TypeVar("SettingsT", bound=CloudSettings)


class CloudTarget(abc.ABC, Generic[DecisionT, SettingsT, PlaceT]):
    """A target whose deployments are rollouts.

    `DecisionT` is what a plan decided, which the rollout carries out.
    """

    decision_type: type[DecisionT]

    @abc.abstractmethod
    def rollout(
        self, plan: Plan[SettingsT, PlaceT], decision: DecisionT
    ) -> Rollout[SettingsT, PlaceT] | None:
        """Return the rollout of a plan, or None if there is nothing to do."""

    @abc.abstractmethod
    def restore_previous_version(self, spec: Spec[SettingsT, PlaceT]) -> None:
        """Send the clients to the previous version. Raise `DeployError`."""

    @abc.abstractmethod
    def headers(self, spec: Spec[SettingsT, PlaceT]) -> Mapping[str, str]:
        """Return the headers that authenticate a request."""

    @abc.abstractmethod
    def status(self, spec: Spec[SettingsT, PlaceT]) -> Deployment | None:
        """Return the current deployment, or None."""

    @abc.abstractmethod
    def serving_version(self, spec: Spec[SettingsT, PlaceT]) -> str | None:
        """Return the name of the version that serves, or None if nothing is deployed."""

    @abc.abstractmethod
    def read_log(self, spec: Spec[SettingsT, PlaceT], version: str, tail: int) -> list[str]:
        """Return the last `tail` log lines of `version`; a platform may return more."""

    @abc.abstractmethod
    def log_poll_seconds(self, spec: Spec[SettingsT, PlaceT]) -> float:
        """Return the seconds between two fetches of a log that is followed."""

    def engine(self, spec: Spec[SettingsT, PlaceT]) -> str | None:
        return None

    def apply(
        self, plan: Plan[SettingsT, PlaceT], smoke_test: SmokeTest, wait: bool = True
    ) -> Deployment:
        spec = plan.spec
        rollout = self.rollout(plan, self.require_decision(plan))
        if rollout:
            try:
                rollout.run(smoke_test, wait)
            except OperationPending:
                hint = f"`inv status {spec.options}` shows its state, `inv deploy` continues it"
                progress.note("deploy", f"started, and not complete yet; {hint}")
                return self.status(spec) or starting_deployment(plan)
        return self._require_deployment(spec)

    def rollback(self, spec: Spec[SettingsT, PlaceT]) -> Deployment:
        self.restore_previous_version(spec)
        return self._require_deployment(spec)

    def logs(self, spec: Spec[SettingsT, PlaceT], tail: int, follow: bool = False) -> Iterator[str]:
        version = self.serving_version(spec)
        if version is None:
            raise _not_deployed(spec)
        yield from log_tail.stream_lines(
            lambda count: self.read_log(spec, version, count),
            tail,
            follow,
            self.log_poll_seconds(spec),
        )

    def require_decision(self, plan: Plan[SettingsT, PlaceT]) -> DecisionT:
        """Return what `plan` decided. Raise `DeployError` if another target made the plan."""
        decision = plan.target_state
        if not isinstance(decision, self.decision_type):
            raise DeployError(plan.spec.name, "another target made this plan", "plan again")
        return decision

    def _require_deployment(self, spec: Spec[SettingsT, PlaceT]) -> Deployment:
        deployment = self.status(spec)
        if deployment is None:
            raise _not_deployed(spec)
        return deployment


def _not_deployed(spec: Spec) -> DeployError:
    return DeployError(spec.name, "nothing is deployed", f"`inv deploy {spec.options}`")


def starting_deployment(plan: Plan[CloudSettings]) -> Deployment:
    """Return the first deployment of a spec, which a rollout has started and not completed."""
    return Deployment(
        flow=plan.spec.flow.name,
        environment=plan.spec.environment,
        target=plan.spec.target,
        state="starting",
        url="",
        auth=plan.spec.settings.auth,
        image_id=plan.image.pinned,
        tag=plan.image.tag,
        commit=plan.image.commit,
        created="",
        name="",
        digest=plan.image.digest or "",
    )
