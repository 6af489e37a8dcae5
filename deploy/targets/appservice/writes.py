"""Changing what is there, through azure-mgmt-web. Nothing else writes sites."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deploy import cloud, pausing
from deploy.arm import errors as arm_errors
from deploy.arm.errors import Said
from deploy.model import Spec
from deploy.targets.appservice import errors, naming
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.settings import place_of

if TYPE_CHECKING:
    from azure.mgmt.web import WebSiteManagementClient

# Seconds between two looks of the SDK at a swap, and between two of ours at a site.
POLLING = 5.0
# How often a write is tried again that another operation came before.
ATTEMPTS = 5


class RefusedError(Exception):
    """Azure did not accept a change, or it failed."""

    def __init__(self, said: Said) -> None:
        super().__init__(said.text)
        self.said = said


class Writer:
    """Writes one spec's site and its slot; `site` is `production` or the slot's name."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._where = cloud.chosen(place_of(spec).cloud)
        self._group, self._app = place_of(spec).resource_group, naming.app_of(spec)

    @functools.cached_property
    def _client(self) -> WebSiteManagementClient:
        # It takes two seconds, so nobody imports it before something is to be written.
        from azure.mgmt.web import WebSiteManagementClient

        return WebSiteManagementClient(
            cloud.credential(self._where),
            place_of(self._spec).subscription,
            base_url=self._where.resource_manager,
            credential_scopes=[self._where.scope],
            polling_interval=self._where.polling or POLLING,
        )

    def settings(self, site: str, settings: Mapping[str, str]) -> None:
        """Write all application settings. Raises `RefusedError`."""
        self._do("update_application_settings", site, {"properties": dict(settings)})

    def web(self, site: str, changes: Mapping[str, Any]) -> None:
        """Change some of a site's configuration. Raises `RefusedError`."""
        self._do("update_configuration", site, {"properties": dict(changes)})

    def properties(self, site: str, changes: Mapping[str, Any]) -> None:
        """Change some of a site's properties. Raises `RefusedError`."""
        self._do("update", site, {"properties": dict(changes)})

    def auth(self, site: str, settings: Mapping[str, Any]) -> None:
        """Write the platform's authentication. Raises `RefusedError`."""
        self._do("update_auth_settings_v2", site, {"properties": dict(settings)})

    def start(self, site: str) -> None:
        """Start a site that is stopped. Raises `RefusedError`."""
        self._do("start", site)

    def stop(self, site: str) -> None:
        """Stop a site. Raises `RefusedError`."""
        self._do("stop", site)

    def sticky(self, names: list[str]) -> None:
        """Add `names` to the settings that stay with their slot. Raises `RefusedError`."""
        web: Any = self._client.web_apps

        def add() -> None:
            # It is one list, with those of others: read just before it is written.
            found = web.list_slot_configuration_names(self._group, self._app)
            present = found.as_dict().get("properties") or {}
            together = sorted({*(present.get("appSettingNames") or ()), *names})
            body = {"properties": {**present, "appSettingNames": together}}
            web.update_slot_configuration_names(self._group, self._app, body)

        self._patiently(add)

    def swap(self, slot: str) -> Any:
        """Begin to swap the slot with production, and return the SDK's poller.

        It is asked for once, by the SDK, too: the second would take back the first. Raises
        `RefusedError`.
        """
        from azure.core.exceptions import AzureError

        body = {"targetSlot": PRODUCTION, "preserveVnet": True}
        web: Any = self._client.web_apps
        try:
            return web.begin_swap_slot(self._group, self._app, slot, body, retry_total=0)
        except AzureError as error:
            raise RefusedError(arm_errors.of_error(error)) from None

    def wait(self) -> None:
        """Wait for a moment, as for another operation to end."""
        pausing.pause(2 * (self._where.polling or POLLING))

    def _do(self, operation: str, site: str, *body: Any) -> None:
        name = operation if site == PRODUCTION else f"{operation}_slot"
        where = (self._group, self._app) if site == PRODUCTION else (self._group, self._app, site)
        call = getattr(self._client.web_apps, name)
        self._patiently(lambda: call(*where, *body))

    def _patiently(self, action: Any) -> Any:
        """Do `action`; again where another operation came first. Raises `RefusedError`."""
        from azure.core.exceptions import AzureError

        for attempt in range(1, ATTEMPTS + 1):
            try:
                return action()
            except AzureError as error:
                said = arm_errors.of_error(error)
                busy = errors.reason(self._spec, said).kind == errors.CONFLICT
                if attempt == ATTEMPTS or not busy:
                    raise RefusedError(said) from None
            self.wait()
        raise AssertionError("unreachable")


def end_of(poller: Any) -> None:
    """Wait for the end of a swap. Raises `RefusedError`, and `KeyboardInterrupt` in between."""
    from azure.core.exceptions import AzureError

    try:
        while not poller.done():
            poller.wait(0.05)
            pausing.pause(0)
        poller.result()
    except AzureError as error:
        raise RefusedError(arm_errors.of_error(error)) from None
