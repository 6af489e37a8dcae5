"""Writes to sites, through azure-mgmt-web. No other module writes them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from deploy.azure import clouds, writes
from deploy.core import interrupts
from deploy.targets.appservice import errors, naming
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.settings import SiteSpec

if TYPE_CHECKING:
    from azure.mgmt.web import WebSiteManagementClient

# Seconds between two polls: of a swap by the SDK, and of a site by this tool.
POLL_SECONDS = 5.0


class Writer:
    """Writer for one spec's site and its slot. Its methods raise `WriteRejected`.

    The argument `site` is `production` or the slot's name.
    """

    def __init__(self, spec: SiteSpec) -> None:
        self._spec = spec
        self._where = clouds.resolve_cloud(spec.place.cloud)
        self._group, self._app = spec.place.resource_group, naming.app_name(spec)

    @functools.cached_property
    def _client(self) -> WebSiteManagementClient:
        # The import takes two seconds, so it happens only before a write.
        from azure.mgmt.web import WebSiteManagementClient

        return WebSiteManagementClient(
            clouds.get_credential(self._where),
            self._spec.place.subscription,
            base_url=self._where.resource_manager,
            credential_scopes=[self._where.scope],
            polling_interval=self._where.polling_interval or POLL_SECONDS,
        )

    def write_settings(self, site: str, settings: Mapping[str, str]) -> None:
        """Replace all application settings."""
        self._call("update_application_settings", site, {"properties": dict(settings)})

    def update_configuration(self, site: str, changes: Mapping[str, Any]) -> None:
        """Update a part of a site's configuration."""
        self._call("update_configuration", site, {"properties": dict(changes)})

    def update_site(self, site: str, changes: Mapping[str, Any]) -> None:
        """Update some properties of a site."""
        self._call("update", site, {"properties": dict(changes)})

    def write_auth(self, site: str, settings: Mapping[str, Any]) -> None:
        """Replace the configuration of the platform's authentication."""
        self._call("update_auth_settings_v2", site, {"properties": dict(settings)})

    def start(self, site: str) -> None:
        """Start a stopped site."""
        self._call("start", site)

    def stop(self, site: str) -> None:
        """Stop a site."""
        self._call("stop", site)

    def add_sticky_settings(self, names: list[str]) -> None:
        """Add `names` to the settings that stay with their slot."""
        web_apps: Any = self._client.web_apps

        def add() -> None:
            # The list is shared with other tools, so read it immediately before the write.
            response = web_apps.list_slot_configuration_names(self._group, self._app)
            properties = response.as_dict().get("properties") or {}
            sticky_names = sorted({*(properties.get("appSettingNames") or ()), *names})
            body = {"properties": {**properties, "appSettingNames": sticky_names}}
            web_apps.update_slot_configuration_names(self._group, self._app, body)

        self._with_retries(add)

    def begin_swap(self, slot: str) -> Any:
        """Start to swap the slot with production, and return the SDK's poller.

        Send the request only once, without the SDK's retries: a second swap would undo the first.
        """
        body = {"targetSlot": PRODUCTION, "preserveVnet": True}
        web_apps: Any = self._client.web_apps
        return writes.submit(
            lambda: web_apps.begin_swap_slot(self._group, self._app, slot, body, retry_total=0)
        )

    def wait(self) -> None:
        """Pause before a retry, for example until another operation ends."""
        interrupts.pause(2 * (self._where.polling_interval or POLL_SECONDS))

    def _call(self, operation: str, site: str, *body: Any) -> None:
        method_name = operation if site == PRODUCTION else f"{operation}_slot"
        location = (
            (self._group, self._app) if site == PRODUCTION else (self._group, self._app, site)
        )
        method = getattr(self._client.web_apps, method_name)
        self._with_retries(lambda: method(*location, *body))

    def _with_retries(self, action: Callable[[], object]) -> None:
        """Carry out `action`; retry it while another operation is in progress."""
        writes.submit_with_retries(
            lambda: writes.submit(action),
            lambda error: errors.is_conflict(self._spec, error),
            self.wait,
        )


def wait_for_swap(poller: Any) -> None:
    """Wait until a swap completes. Raise `WriteRejected`, or `KeyboardInterrupt` on Ctrl+C."""

    def wait() -> None:
        while not poller.done():
            poller.wait(0.05)
            interrupts.pause(0)
        poller.result()

    writes.submit(wait)
