"""The SDK of App Service around a scripted flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests
from azure.identity import DefaultAzureCredential
from azure.mgmt.web import WebSiteManagementClient

from deploy.sandbox.appservice.slot import Slot
from deploy.sandbox.arm import GROUP
from deploy.sandbox.azure import Azure

SITE, SLOT = "app-faq", "staging"
SETTINGS = {
    "WEBSITES_PORT": "8080",
    "WEBSITE_WARMUP_PATH": "/health",
    "WEBSITE_WARMUP_STATUSES": "200",
    "SERVE_WORKERS": "1",
}


@dataclass
class Sdk:
    """The client, with what the tests do again and again. A slot is `production` or another."""

    client: WebSiteManagementClient
    image: str
    bundle: str

    def configure(self, slot: str = "production", image: str = "") -> None:
        """Set the image of a slot."""
        body: Any = {"properties": {"linuxFxVersion": f"DOCKER|{image or self.image}"}}
        apps = self.client.web_apps
        if slot == "production":
            apps.update_configuration(GROUP, SITE, body)
        else:
            apps.update_configuration_slot(GROUP, SITE, slot, body)

    def set(self, slot: str = "production", **settings: str) -> None:
        """Replace the settings of a slot."""
        body: Any = {"properties": {**SETTINGS, **settings}}
        apps = self.client.web_apps
        if slot == "production":
            apps.update_application_settings(GROUP, SITE, body)
        else:
            apps.update_application_settings_slot(GROUP, SITE, slot, body)

    def settings(self, slot: str = "production") -> dict[str, str]:
        """Return the settings of a slot."""
        apps = self.client.web_apps
        if slot == "production":
            found = apps.list_application_settings(GROUP, SITE)
        else:
            found = apps.list_application_settings_slot(GROUP, SITE, slot)
        return dict(found.properties or {})

    def logs(self, slot: str = "production") -> str:
        """Return the platform's log of a slot."""
        apps = self.client.web_apps
        if slot == "production":
            found = apps.get_web_site_container_logs(GROUP, SITE)
        else:
            found = apps.get_web_site_container_logs_slot(GROUP, SITE, slot)
        return b"".join(found or []).decode()

    def swap(self) -> None:
        """Swap staging into production."""
        body: Any = {"targetSlot": "production", "preserveVnet": True}
        self.client.web_apps.begin_swap_slot(GROUP, SITE, SLOT, body).result()

    def ask(self, slot: Slot, path: str = "/score", **headers: str) -> requests.Response:
        """Score a slot."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        body = {"question": "why?"}
        return requests.post(
            slot.url + path, json=body, headers=named, verify=self.bundle, timeout=60
        )

    def colour(self, slot: Slot) -> str:
        """Return the colour of what answers."""
        answer = self.ask(slot)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["answer"].split(" ")[0])


def connect(azure: Azure) -> WebSiteManagementClient:
    return WebSiteManagementClient(
        DefaultAzureCredential(),
        azure.arm.subscription,
        base_url=azure.arm.server.url,
        credential_scopes=["https://management.azure.com/.default"],
        polling_interval=0.05,
    )
