"""Blue/green deployment for platforms that run several versions, each at its own address.

This module defines the order of the steps: start the new version, verify it at its own address,
then switch traffic to it. The previous version keeps running for a rollback; all others are
stopped. An extension implements the steps for its platform (`Platform`). See docs/extending.md.
"""

from __future__ import annotations

import abc
import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from deploy.config.target import SmokeTest
from deploy.core import progress
from deploy.core.entities import Deployment, Image, Plan, Spec, Step, TrafficShare
from deploy.core.errors import DeployError, Problem
from deploy.targets import log_tail, verification

# Lines to fetch while following a log, and seconds between two fetches.
FOLLOW_LOG_LINES, POLL_SECONDS = 300, 5.0
ERROR_LOG_LINES = 20


@dataclass(frozen=True)
class Version:
    """A running version."""

    # Starts with the result of `Platform.version_prefix`.
    name: str
    # The deployment ID that the container returns from /version.
    deployment: str
    # The version's own address, which also works while the version gets no traffic.
    url: str
    image: Image
    auth: str
    created: str
    # Share of the traffic: 0 for the previous version, None for a version that never had any.
    percent: int | None


@dataclass(frozen=True)
class ObservedState:
    """The running versions, and the address that clients use."""

    url: str
    versions: Sequence[Version]

    @property
    def serving(self) -> Version | None:
        """Return the version that gets the most traffic, or None."""
        busiest = max(self.versions, key=lambda version: version.percent or 0, default=None)
        return busiest if busiest and busiest.percent else None

    @property
    def previous(self) -> Version | None:
        """Return the version that got the traffic before, or None."""
        return next((version for version in self.versions if version.percent == 0), None)

    def find_version(self, name: str) -> Version | None:
        """Return the version with this name, or None."""
        return next((version for version in self.versions if version.name == name), None)


class Platform(Protocol):
    """The operations of a platform for one spec.

    Each method returns when its operation has completed, and may raise `DeployError`.
    """

    where: str
    """The platform's name in messages, such as `container app faq`."""
    poll_seconds: float
    """Seconds between two polls of a version that starts."""

    def read_state(self) -> ObservedState:
        """Return the running versions. Read only."""
        ...

    def version_prefix(self, image: Image) -> str:
        """Return the prefix for names of versions that run `image` with the settings of the spec.

        Equal settings give the same prefix; any other setting gives a different one. Read only.
        """
        ...

    def start(self, name: str, image: Image) -> None:
        """Start a version. It gets no traffic while another version serves."""
        ...

    def switch_traffic(self, name: str, before: str) -> None:
        """Send all traffic to the version `name`.

        The version `before` gets none, but keeps running; `before` is empty if there is none.
        """
        ...

    def stop(self, name: str) -> None:
        """Stop a version that gets no traffic."""
        ...

    def read_log(self, name: str, tail: int) -> list[str]:
        """Return the last `tail` log lines of a version."""
        ...

    def remove(self) -> bool:
        """Remove all resources of the spec; return whether there were any."""
        ...


class BlueGreenTarget(abc.ABC):
    """A target that deploys to a `Platform`.

    Its `Settings` must have a field `start_timeout` in seconds.
    """

    @abc.abstractmethod
    def platform(self, spec: Spec) -> Platform:
        """Return the platform of `spec`. Send no requests."""

    @abc.abstractmethod
    def headers(self, spec: Spec) -> Mapping[str, str]:
        """Return the headers that authenticate a request."""

    def engine(self, spec: Spec) -> str | None:
        return None

    def explain_response(
        self, spec: Spec, status: int, headers: Mapping[str, str]
    ) -> Problem | None:
        if status != 401:
            return None
        message = "the key is not accepted: the version that serves started with another"
        return Problem(self.platform(spec).where, message, "restart it, so that it gets this one")

    def plan(self, spec: Spec, image: Image) -> Plan:
        platform = self.platform(spec)
        serving, name = platform.read_state().serving, platform.version_prefix(image)
        before = serving.name if serving else ""
        if before.startswith(name):
            step = Step("keep", platform.where, before, before, "it serves already")
            return Plan(spec, image, (step,), before)
        # Fail now if the key cannot be read: the smoke test needs it.
        self.headers(spec)
        if serving is None:
            step = Step("create", platform.where, "", name, "nothing serves there")
        else:
            reason = "other settings" if serving.image.tag == image.tag else "another image"
            step = Step("replace", platform.where, before, name, reason)
        return Plan(spec, image, (step,), before)

    def apply(self, plan: Plan, prove: SmokeTest, wait: bool = True) -> Deployment:
        spec, platform = plan.spec, self.platform(plan.spec)
        serving = platform.read_state().serving
        if plan.target_state != (serving.name if serving else ""):
            message = "somebody else changed it meanwhile"
            raise DeployError(platform.where, message, "`inv plan` shows what is there")
        if plan.has_changes:
            name = f"{platform.version_prefix(plan.image)}-{secrets.token_hex(2)}"
            try:
                self._roll_out(platform, plan, name, prove)
            except DeployError as error:
                raise error.with_lines(_stop_failed_version(platform, name)) from None
            except BaseException:
                _stop_failed_version(platform, name)
                raise
        for version in platform.read_state().versions:
            if version.percent is None:
                platform.stop(version.name)
        return self._require_status(spec)

    def rollback(self, spec: Spec) -> Deployment:
        platform = self.platform(spec)
        previous, hint = (
            platform.read_state().previous,
            "check the earlier commit out, then `inv deploy`",
        )
        if previous is None:
            raise DeployError(platform.where, "no earlier version runs to go back to", hint)
        if previous.auth != spec.settings.auth:
            configured = f"and deploy.yaml says {spec.settings.auth}"
            message = f"the earlier version lets callers in by {previous.auth}, {configured}"
            raise DeployError(platform.where, message, hint)
        self._wait_until_ready(platform, spec, previous, previous.url)
        self._switch_traffic(platform, spec, previous)
        return self._require_status(spec)

    def status(self, spec: Spec) -> Deployment | None:
        observed = self.platform(spec).read_state()
        serving = observed.serving
        if serving is None:
            return None
        states = {
            version.name: "healthy" if verification.is_healthy(version.url) else "unhealthy"
            for version in observed.versions
        }
        return Deployment(
            flow=spec.flow.name,
            environment=spec.environment,
            target=spec.target,
            state=states[serving.name],
            url=observed.url,
            auth=serving.auth,
            image_id=serving.image.id,
            tag=serving.image.tag,
            commit=serving.image.commit,
            created=serving.created,
            name=serving.name,
            digest=serving.image.digest or "",
            shares=tuple(
                TrafficShare(
                    name=version.name,
                    percent=version.percent or 0,
                    state=states[version.name],
                    tag=version.image.tag,
                    commit=version.image.commit,
                    digest=version.image.digest or "",
                    since=version.created,
                )
                for version in observed.versions
            ),
        )

    def logs(self, spec: Spec, tail: int, follow: bool = False) -> Iterator[str]:
        platform, name = self.platform(spec), self._require_status(spec).name
        yield from log_tail.stream_lines(
            lambda: platform.read_log(name, FOLLOW_LOG_LINES), tail, follow, POLL_SECONDS
        )

    def destroy(self, spec: Spec) -> tuple[Step, ...]:
        platform = self.platform(spec)
        with progress.phase("destroy", platform.where):
            return (Step("remove", platform.where),) if platform.remove() else ()

    def _roll_out(self, platform: Platform, plan: Plan, name: str, prove: SmokeTest) -> None:
        spec = plan.spec
        with progress.phase("start", name):
            platform.start(name, plan.image)
            new = platform.read_state().find_version(name)
            if new is None:
                raise DeployError(platform.where, f"{name} is gone", "deploy again")
            self._wait_until_ready(platform, spec, new, new.url)
        with progress.phase("prove", f"{name}: scoring {spec.flow.sample.name}"):
            prove(new.url, self.headers(spec))
        self._switch_traffic(platform, spec, new)

    def _switch_traffic(self, platform: Platform, spec: Spec, coming: Version) -> None:
        """Switch traffic to `coming`; switch back if clients do not reach it."""
        observed = platform.read_state()
        current, previous = (
            version.name if version else "" for version in (observed.serving, observed.previous)
        )
        with progress.phase("traffic", coming.name):
            platform.switch_traffic(coming.name, current)
            try:
                self._wait_until_ready(platform, spec, coming, platform.read_state().url)
            except BaseException:
                if current:
                    platform.switch_traffic(current, previous)
                raise

    def _wait_until_ready(self, platform: Platform, spec: Spec, version: Version, url: str) -> None:
        """Wait until `url` answers as this version. Raise `DeployError` if it does not."""
        verification.wait_until_ready(
            url,
            version.image,
            spec.settings.start_timeout,
            lambda: "",
            self.headers(spec),
            version.deployment,
            platform.poll_seconds,
        )

    def _require_status(self, spec: Spec) -> Deployment:
        deployment = self.status(spec)
        if deployment is None:
            raise DeployError(spec.name, "nothing is deployed", f"`inv deploy {spec.options}`")
        return deployment


def _stop_failed_version(platform: Platform, name: str) -> list[str]:
    """Stop a version that failed its checks; return its last log lines."""
    lines: list[str] = []
    # Suppress errors of the cleanup: the user must see the first error.
    with contextlib.suppress(DeployError):
        lines = platform.read_log(name, ERROR_LOG_LINES)
    with contextlib.suppress(DeployError):
        platform.stop(name)
    return lines
