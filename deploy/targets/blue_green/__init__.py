"""Blue/green deployment for platforms that run several versions, each at its own address.

The new version is verified at its own address, then all traffic is switched to it. The previous
version keeps running for a rollback; all others are stopped. An extension implements the
operations of its platform (`Platform`). See docs/extending.md.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Mapping

from deploy.config.target import PlaceT
from deploy.core import progress
from deploy.core.entities import Deployment, Image, Plan, Spec, Step, TrafficShare
from deploy.core.errors import DeployError, Problem
from deploy.targets import verification
from deploy.targets.base import CloudTarget
from deploy.targets.blue_green.platform import Platform, Version
from deploy.targets.blue_green.rollout import BlueGreenRollout, Decision, TrafficSwitch
from deploy.targets.blue_green.settings import BlueGreenSettings as BlueGreenSettings
from deploy.targets.blue_green.settings import BlueGreenT
from deploy.targets.rollout import Rollout


class BlueGreenTarget(CloudTarget[Decision, BlueGreenT, PlaceT]):
    """A target that deploys to a `Platform`."""

    decision_type = Decision

    @abc.abstractmethod
    def platform(self, spec: Spec[BlueGreenT, PlaceT]) -> Platform:
        """Return the platform of `spec`. Send no requests."""

    def explain_response(
        self, spec: Spec[BlueGreenT, PlaceT], status: int, headers: Mapping[str, str]
    ) -> Problem | None:
        if status != 401:
            return None
        message = "the key is rejected: the version that serves started with another key"
        hint = f"deploy or restart it, so that it gets this key: `inv plan {spec.options}`"
        return Problem(self.platform(spec).where, message, hint)

    def plan(self, spec: Spec[BlueGreenT, PlaceT], image: Image) -> Plan[BlueGreenT, PlaceT]:
        platform = self.platform(spec)
        serving, name = platform.read_state().serving, platform.version_prefix(image)
        before = serving.name if serving else ""
        if before.startswith(name):
            step = Step("keep", platform.where, before, before, "image and settings are the same")
            return Plan(spec, image, (step,), Decision(before, False))
        # Fail now if the key cannot be read: the smoke test needs it.
        self.headers(spec)
        if serving is None:
            step = Step("create", platform.where, "", name, "no version exists")
        else:
            reason = "other settings" if serving.image.tag == image.tag else "another image"
            step = Step("replace", platform.where, before, name, reason)
        return Plan(spec, image, (step,), Decision(before, True))

    def rollout(
        self, plan: Plan[BlueGreenT, PlaceT], decision: Decision
    ) -> Rollout[BlueGreenT, PlaceT]:
        platform, headers = self.platform(plan.spec), functools.partial(self.headers, plan.spec)
        return BlueGreenRollout(platform, decision, plan.spec, plan.image, headers)

    def restore_previous_version(self, spec: Spec[BlueGreenT, PlaceT]) -> None:
        platform = self.platform(spec)
        previous = platform.read_state().previous
        hint = f"check out the earlier commit, then `inv deploy {spec.options}`"
        if previous is None:
            raise DeployError(platform.where, "no previous version is running", hint)
        if previous.auth != spec.settings.auth:
            message = (
                f"the previous version uses `auth: {previous.auth}`, but deploy.yaml says "
                f"`auth: {spec.settings.auth}`"
            )
            raise DeployError(platform.where, message, hint)
        switch = TrafficSwitch(platform, spec, previous, lambda: self.headers(spec))
        switch.wait_until_ready(previous.url)
        switch.run()

    def status(self, spec: Spec[BlueGreenT, PlaceT]) -> Deployment | None:
        observed = self.platform(spec).read_state()
        serving = observed.serving
        if serving is None:
            return None
        shares = {version.name: _traffic_share(version) for version in observed.versions}
        return Deployment(
            flow=spec.flow.name,
            environment=spec.environment,
            target=spec.target,
            state=shares[serving.name].state,
            url=observed.url,
            auth=serving.auth,
            image_id=serving.image.id,
            tag=serving.image.tag,
            commit=serving.image.commit,
            created=serving.created,
            name=serving.name,
            digest=serving.image.digest or "",
            shares=tuple(shares.values()),
        )

    def log_poll_seconds(self, spec: Spec[BlueGreenT, PlaceT]) -> float:
        return self.platform(spec).poll_seconds

    def serving_version(self, spec: Spec[BlueGreenT, PlaceT]) -> str | None:
        serving = self.platform(spec).read_state().serving
        return serving.name if serving else None

    def read_log(self, spec: Spec[BlueGreenT, PlaceT], version: str, tail: int) -> list[str]:
        return self.platform(spec).read_log(version, tail)

    def destroy(self, spec: Spec[BlueGreenT, PlaceT]) -> tuple[Step, ...]:
        platform = self.platform(spec)
        with progress.phase("destroy", platform.where):
            return (Step("remove", platform.where),) if platform.remove() else ()


def _traffic_share(version: Version) -> TrafficShare:
    return TrafficShare(
        name=version.name,
        percent=version.percent or 0,
        state="healthy" if verification.is_healthy(version.url) else "unhealthy",
        tag=version.image.tag,
        commit=version.image.commit,
        digest=version.image.digest or "",
        since=version.created,
    )
