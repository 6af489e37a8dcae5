"""The platform of a blue/green deployment: the operations that an extension implements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from deploy.core.entities import Image


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
