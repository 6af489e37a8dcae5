"""Blue/green deployment for platforms that run several versions, each at its own address.

The new version is verified at its own address, then all traffic is switched to it. The previous
version keeps running for a rollback; all others are stopped. An extension implements the
operations of its platform (`Platform`). See docs/extending.md.
"""

from __future__ import annotations

import abc
import contextlib
import functools
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import Field
from typing_extensions import TypeVar

from deploy.config.schema import CloudSettings, PlaceModel
from deploy.config.target import PlaceT, SmokeTest
from deploy.core import progress
from deploy.core.entities import Deployment, Image, Plan, Spec, Step, TrafficShare
from deploy.core.errors import DeployError, Problem
from deploy.targets import verification
from deploy.targets.base import CloudTarget
from deploy.targets.rollout import Rollout, conflict_error


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

    # Empty before the first version gets traffic, if the platform has no address until then.
    url: str
    # Without versions that have ended and are not restarted: a plan replaces those.
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

    def exit_reason(self, name: str) -> str:
        """Return why a version that was started has ended; empty while it may become ready."""
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


@dataclass(frozen=True)
class Decision:
    """What a plan decided."""

    # The version that serves; empty if there is none.
    serving: str
    # Whether a new version is to replace it.
    has_new_version: bool


class BlueGreenSettings(CloudSettings):
    """The settings that a blue/green deployment needs."""

    # Seconds within which a version must be ready.
    start_timeout: Annotated[int, Field(ge=1)] = 300


BlueGreenT = TypeVar("BlueGreenT", bound=BlueGreenSettings, default=BlueGreenSettings)
BlueGreenSpec = Spec[BlueGreenSettings, PlaceModel]


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


class TrafficSwitch:
    """A switch of all traffic to one version."""

    def __init__(
        self,
        platform: Platform,
        spec: BlueGreenSpec,
        version: Version,
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        self._platform, self._spec, self._version = platform, spec, version
        self._headers = headers

    def run(self) -> None:
        """Switch the traffic, and switch it back if clients do not reach the version."""
        observed = self._platform.read_state()
        current, previous = (
            version.name if version else "" for version in (observed.serving, observed.previous)
        )
        with progress.phase("traffic", self._version.name):
            self._platform.switch_traffic(self._version.name, current)
            try:
                self.wait_until_ready(self._platform.read_state().url)
            except BaseException:
                if current:
                    self._platform.switch_traffic(current, previous)
                raise

    def wait_until_ready(self, url: str) -> None:
        """Wait until `url` answers as the version. Raise `DeployError` if it does not."""
        verification.wait_until_ready(
            url,
            self._version.image,
            self._spec.settings.start_timeout,
            lambda: self._platform.exit_reason(self._version.name),
            self._headers(),
            self._version.deployment,
            self._platform.poll_seconds,
        )


class BlueGreenRollout(Rollout[BlueGreenT, PlaceT]):
    """One deployment to a `Platform`."""

    def __init__(
        self,
        platform: Platform,
        decision: Decision,
        spec: Spec[BlueGreenT, PlaceT],
        image: Image,
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        super().__init__(spec, image, headers)
        self._platform, self._decision = platform, decision
        # The name ends in a random part, so that a name is never used twice.
        self._name = f"{platform.version_prefix(image)}-{secrets.token_hex(2)}"

    @property
    def has_new_version(self) -> bool:
        return self._decision.has_new_version

    def prepare(self, wait: bool) -> None:
        serving = self._platform.read_state().serving
        if self._decision.serving != (serving.name if serving else ""):
            raise conflict_error(self._platform.where, self.spec.options)

    def start(self, wait: bool) -> None:
        with progress.phase("start", self._name):
            self._platform.start(self._name, self.image)
            self._switch().wait_until_ready(self._require_version().url)

    def verify(self, smoke_test: SmokeTest) -> None:
        with progress.phase("verify", f"{self._name}: scoring {self.spec.flow.sample.name}"):
            smoke_test(self._require_version().url, self.headers())

    def move_clients(self, smoke_test: SmokeTest) -> None:
        self._switch().run()

    def restore(self, has_failed: bool) -> None:
        """Stop the new version; a failed traffic switch restores itself."""
        with contextlib.suppress(DeployError):
            self._platform.stop(self._name)

    def clean_up(self) -> None:
        for version in self._platform.read_state().versions:
            if version.percent is None:
                self._platform.stop(version.name)

    def read_log(self, tail: int) -> list[str]:
        return self._platform.read_log(self._name, tail)

    def _switch(self) -> TrafficSwitch:
        return TrafficSwitch(self._platform, self.spec, self._require_version(), self.headers)

    def _require_version(self) -> Version:
        version = self._platform.read_state().find_version(self._name)
        if version is None:
            raise DeployError(
                self._platform.where,
                f"the version {self._name} does not exist any more",
                f"`inv deploy {self.spec.options}` starts another one",
            )
        return version


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
