"""Swaps of two slots: the source gets ready with the target's settings, then the two change places.

Documented: "Set up staging environments in Azure App Service", "What happens during a swap" (its steps;
that a restart that fails takes all back; that the target answers all the time), "Customize warm-up"
(WEBSITE_SWAP_WARMUP_PING_PATH, `/` by default, and _STATUSES, any by default). Recorded: the answers
while it is under way (202 with a new Location each time and no Retry-After), and how it fails. Assumed:
nothing restarts where no setting stays and no slot authenticates; the last restart, of what was the target
before, is not waited for.
"""

from __future__ import annotations

import datetime
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.emulator.arm_errors import RefusedError
from tests.emulator.pace import Pace
from tests.emulator.web import recipes
from tests.emulator.web.errors import swap_failed
from tests.emulator.web.instance import Instance, Ping, StartError
from tests.emulator.web.slot import STAYING, Site, Slot
from tests.emulator.web.worker import Worker

NAME = "SwapSiteSlots"
Make = Callable[[Slot, dict[str, str]], Instance | None]


@dataclass
class Swap:
    """One swap; `looks` counts how often somebody asked for its end, `error` is how it failed."""

    source: Slot
    target: Slot
    looks: int = 0
    error: RefusedError | None = None
    failure: str = ""
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def site(self) -> Site:
        """The site whose slots they are."""
        return self.source.site

    def run(self, make: Make, pace: Pace) -> None:
        """Do it, and note how it ended."""
        try:
            self._run(make, pace)
        except StartError:
            self.error = swap_failed(self.site.name, self.source.name)
        except Exception:
            self.failure = traceback.format_exc()
            self.error = RefusedError(500, "InternalServerError", "the emulator failed")
        finally:
            with self.site.lock:
                self.site.operation = ""
            self.done.set()

    def _run(self, make: Make, pace: Pace) -> None:
        source, target = self.source, self.target
        # What is being started in place would else arrive in the wrong slot.
        for slot in (source, target):
            slot.worker.wait()
        ready, left = _settings(source, target), _settings(target, source)
        authenticates = source.has_authentication or target.has_authentication
        restarts = authenticates or ready != source.settings
        try:
            if restarts:
                source.worker.replace(lambda: make(source, ready))
            _warm_up(source.worker, recipes.swap_ping(ready))
        except StartError:
            if restarts:
                source.worker.restart()
            raise
        while not pace.gate.wait(0.05):
            pass
        with self.site.lock:
            restarts = authenticates or left != target.settings
            source.settings, target.settings = left, ready
            _exchange(source, target)
            source.worker.exchange(target.worker)
            self.site.last_swap = {
                "timestampUtc": datetime.datetime.now(datetime.UTC).isoformat(),
                "sourceSlotName": source.name.capitalize(),
                "destinationSlotName": target.name.capitalize(),
            }
        if restarts:
            source.worker.restart()


def _settings(one: Slot, other: Slot) -> dict[str, str]:
    """Return the settings of `one` as they are in the place of `other`."""
    sticky = one.site.sticky_settings
    moving = {name: text for name, text in one.settings.items() if name not in sticky}
    staying = {name: text for name, text in other.settings.items() if name in sticky}
    return {**moving, **staying}


def _exchange(source: Slot, target: Slot) -> None:
    for name in {*source.config, *target.config} - STAYING:
        first, second = source.config.get(name), target.config.get(name)
        source.config[name], target.config[name] = second, first
    sticky = source.site.sticky_connections
    for name in {*source.connection_strings, *target.connection_strings} - sticky:
        found = [slot.connection_strings.pop(name, None) for slot in (source, target)]
        for slot, value in zip((target, source), found, strict=True):
            if value is not None:
                slot.connection_strings[name] = value


def _warm_up(worker: Worker, ping: Ping) -> None:
    if worker.current is None or not worker.current.warm_up(ping):
        raise StartError("the source does not answer")
