"""The rollout of a blue/green deployment: start, verify, switch all traffic."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy.config.target import PlaceT, SmokeTest
from deploy.core import progress
from deploy.core.entities import Image, Spec
from deploy.core.errors import DeployError
from deploy.targets import verification
from deploy.targets.blue_green.platform import Platform, Version
from deploy.targets.blue_green.settings import BlueGreenSpec, BlueGreenT
from deploy.targets.rollout import Rollout, conflict_error


@dataclass(frozen=True)
class Decision:
    """What a plan decided."""

    # The version that serves; empty if there is none.
    serving: str
    # Whether a new version is to replace it.
    has_new_version: bool


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

    @functools.cached_property
    def _name(self) -> str:
        """The new version's name; its random end makes sure that no name is used twice."""
        return f"{self._platform.version_prefix(self.image)}-{secrets.token_hex(2)}"

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
