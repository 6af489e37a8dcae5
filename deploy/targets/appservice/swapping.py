"""The slot and production change places: forward in a deploy, back in a rollback.

Source: "Set up staging environments in Azure App Service", "What happens during a swap": the slot
is started anew with production's own settings first, and if that fails all stays as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from deploy import console, pausing
from deploy.arm.errors import Said
from deploy.errors import DeployError
from deploy.model import Spec
from deploy.targets.appservice import errors
from deploy.targets.appservice.changed import ChangedError, changed
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.state import Site, World
from deploy.targets.appservice.warming import Say
from deploy.targets.appservice.writes import ATTEMPTS, RefusedError, Writer, end_of

# Seconds within which production must be what was on the slot: it runs already, but may still act
# as the slot's identity for a while.
AFTER_SWAP = 180.0
# … and how long a swap may go on of which nobody knows whether it was accepted.
UNKNOWN = 120.0


class Swap:
    """One swap: `before` is what production runs, `coming` what the slot runs."""

    def __init__(
        self, client: Client, writer: Writer, spec: Spec, before: Site, coming: Site
    ) -> None:
        self._client, self._writer, self._spec = client, writer, spec
        self._slot, self._before, self._coming = coming.name, before, coming

    def run(self, verify: Callable[[Say], None]) -> None:
        """Swap, and swap back if `verify` is not content with production, or is interrupted.

        Raises `DeployError`; `ChangedError` where somebody else was quicker, whose work stays.
        """
        with console.phase("swap", f"{self._slot} and production of {self._client.name}") as shown:
            try:
                self._exchange()
                verify(shown.now)
            except ChangedError:
                raise
            except BaseException as error:
                with pausing.putting_right():
                    if not isinstance(error, DeployError):
                        # Azure goes on with a swap that nobody waits for.
                        self._until_it_shows(UNKNOWN)
                    self._return(error)
                raise

    def _exchange(self) -> None:
        """Swap once. Raises `DeployError` where production is not what it should be afterwards.

        A swap that is asked for a second time takes back the first: so nobody asks again before a
        look has told that nothing came of the first.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                end_of(self._writer.swap(self._slot))
                return
            except RefusedError as error:
                said = error.said
            busy = errors.reason(self._spec, said).kind == errors.CONFLICT
            world = self._after(said, busy)
            if _runs(world.production, self._coming):
                # An answer was lost, or what failed came after it.
                console.note("swap", "Azure says it failed, and production has the new version")
                return
            if not self._is_ours(world.production):
                raise changed(self._client.where)
            untouched = _runs(world.production, self._before) and self._is_coming(world.slot)
            if not (busy and untouched) or attempt == ATTEMPTS:
                raise errors.refused(self._spec, said, "swap")
        raise AssertionError("unreachable")

    def _after(self, said: Said, busy: bool) -> World:
        """Return what there is once nothing more can come of a swap that was refused."""
        if busy:
            self._writer.wait()
        unknown = said.status == 0 or said.status >= 500
        return self._until_it_shows(UNKNOWN if unknown else 0.0)

    def _until_it_shows(self, seconds: float) -> World:
        """Return what there is once production is another, or after so many seconds."""
        until = time.monotonic() + seconds
        while True:
            world = self._client.look()
            if not _runs(world.production, self._before) or time.monotonic() >= until:
                return world
            self._writer.wait()

    def _return(self, error: BaseException) -> None:
        """Let production run again what it ran before, unless somebody else has changed it."""
        found = self._client.look().production
        if _runs(found, self._before):
            return
        if not self._is_ours(found):
            console.note("swap", "somebody else has changed production meanwhile: it stays")
            return
        console.note("swap", f"back, since {_why(error)}")
        try:
            if _runs(found, self._coming):
                end_of(self._writer.swap(self._slot))
            else:
                put_back(self._writer, self._before)
        except RefusedError as second:
            console.note("swap", f"that did not work ({second}); `inv status` shows it")

    def _is_coming(self, slot: Site | None) -> bool:
        return slot is not None and _runs(slot, self._coming)

    def _is_ours(self, found: Site) -> bool:
        """Whether a site has nothing but what this swap moves, be it in halves."""
        pair = (self._before, self._coming)
        images, records = {one.image for one in pair}, {one.record for one in pair}
        return found.image in images and found.record in records


def put_back(writer: Writer, before: Site) -> None:
    """Let a site run what it ran before. Raises `RefusedError`."""
    web = {name: before.web.get(name) or "" for name in ("linuxFxVersion", "healthCheckPath")}
    writer.settings(before.name, before.settings)
    writer.web(before.name, web)


def _runs(site: Site, other: Site) -> bool:
    """Whether a site has the image and the record of another."""
    return (site.image, site.record) == (other.image, other.record)


def _why(error: BaseException) -> str:
    if isinstance(error, DeployError):
        return error.problems[0].what.splitlines()[0]
    return "the task was interrupted"
