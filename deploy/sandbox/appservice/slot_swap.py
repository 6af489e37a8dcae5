"""Swap two slots: the source starts with the target's settings, then both change places.

Documented: "Set up staging environments in Azure App Service", "What happens during a swap" (its
steps; a failed restart reverts everything; the target answers all the time), "Customize warm-up"
(WEBSITE_SWAP_WARMUP_PING_PATH, `/` by default, and _STATUSES, any by default). Recorded: the
responses during a swap (202 with a new Location each time and no Retry-After), and how it fails.
Assumed: without sticky settings and authentication nothing restarts; the last restart, of the
previous target, is not waited for.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

from deploy.sandbox.appservice import container_config
from deploy.sandbox.appservice.errors import swap_failed_error
from deploy.sandbox.appservice.instance import Instance, StartError, WarmUpPing
from deploy.sandbox.appservice.request_bodies import FIELDS
from deploy.sandbox.appservice.slot import Site, Slot
from deploy.sandbox.appservice.worker import Worker
from deploy.sandbox.background import Operation
from deploy.sandbox.time_scale import TimeScale

OPERATION_NAME = "SwapSiteSlots"
InstanceFactory = Callable[[Slot, dict[str, str]], Instance | None]


@dataclass(kw_only=True)
class Swap(Operation):
    """A swap of two slots."""

    source: Slot
    target: Slot

    @property
    def site(self) -> Site:
        """The site of both slots."""
        return self.source.site

    def run(self, make: InstanceFactory, pace: TimeScale) -> None:
        """Run the swap. Raise `ArmError` if the source does not start or answer."""
        try:
            self._run(make, pace)
        except StartError:
            raise swap_failed_error(self.site.name, self.source.name) from None
        finally:
            with self.site.lock:
                self.site.operation = ""

    def _run(self, make: InstanceFactory, pace: TimeScale) -> None:
        source, target = self.source, self.target
        # Wait for starts in progress, which would otherwise end in the wrong slot.
        for slot in (source, target):
            slot.worker.wait()
        source_settings, target_settings = (
            _settings_after_swap(source, target),
            _settings_after_swap(target, source),
        )
        authenticates = source.has_authentication or target.has_authentication
        restarts = authenticates or source_settings != source.settings
        try:
            if restarts:
                source.worker.replace(lambda: make(source, source_settings))
            _warm_up(source.worker, container_config.build_swap_ping(source_settings))
        except StartError:
            if restarts:
                source.worker.restart()
            raise
        while not pace.completion_gate.wait(0.05):
            pass
        with self.site.lock:
            restarts = authenticates or target_settings != target.settings
            source.settings, target.settings = target_settings, source_settings
            _swap_config(source, target)
            source.worker.swap_instances(target.worker)
            self.site.last_swap = {
                "timestampUtc": datetime.datetime.now(datetime.UTC).isoformat(),
                "sourceSlotName": source.name.capitalize(),
                "destinationSlotName": target.name.capitalize(),
            }
        if restarts:
            source.worker.restart()


def _settings_after_swap(slot: Slot, other_slot: Slot) -> dict[str, str]:
    """Return the settings of `slot` as they will be in the place of `other_slot`."""
    sticky = slot.site.sticky_settings
    moving = {name: text for name, text in slot.settings.items() if name not in sticky}
    staying = {name: text for name, text in other_slot.settings.items() if name in sticky}
    return {**moving, **staying}


def _swap_config(source: Slot, target: Slot) -> None:
    for name in {*source.config, *target.config} - FIELDS["slot_configuration"]:
        source_value, target_value = source.config.get(name), target.config.get(name)
        source.config[name], target.config[name] = target_value, source_value
    sticky = source.site.sticky_connections
    for name in {*source.connection_strings, *target.connection_strings} - sticky:
        values = [slot.connection_strings.pop(name, None) for slot in (source, target)]
        for slot, value in zip((target, source), values, strict=True):
            if value is not None:
                slot.connection_strings[name] = value


def _warm_up(worker: Worker, ping: WarmUpPing) -> None:
    if worker.current is None or not worker.current.warm_up(ping):
        raise StartError("the source does not answer")
