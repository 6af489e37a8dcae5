"""Names of resources, and the record of the last deployment in a site's settings.

The record is an application setting, not a tag: a swap moves settings together with the image,
while tags stay with the slot and would describe the wrong version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from deploy.core.entities import Image
from deploy.server.settings import DEPLOYMENT_VARIABLE
from deploy.targets.appservice.settings import FLOW_PLACEHOLDER, SiteSpec

RECORD_SETTING = "FLOW_DEPLOY"
# Settings that change with every deployment, so a plan does not compare them.
VOLATILE_SETTINGS = frozenset({RECORD_SETTING, DEPLOYMENT_VARIABLE})
PRODUCTION = "production"
IMAGE_PREFIX = "DOCKER|"


@dataclass(frozen=True)
class DeploymentRecord:
    """The record of a deployment."""

    flow: str
    environment: str
    tag: str
    # The deployment ID that the container returns from /version. It differs between deployments of
    # the same image with other settings.
    id: str
    digest: str
    commit: str
    # Who deployed, and when.
    by: str
    at: str
    # Names of the settings that this tool manages.
    names: tuple[str, ...]
    # The image before the first deployment.
    first: str = ""
    # ID of the previous version, which the slot keeps; empty without a slot.
    previous: str = ""
    # Image and tag of the previous version; empty with a slot.
    before: str = ""
    before_tag: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """Return the application settings that store the record."""
        text = json.dumps({name: value for name, value in asdict(self).items() if value})
        return {RECORD_SETTING: text, DEPLOYMENT_VARIABLE: self.id}

    def is_managed_by(self, spec: SiteSpec) -> bool:
        """Return whether a deployment of this flow and environment wrote the record."""
        return (self.flow, self.environment) == (spec.flow.name, spec.environment)


def read_record(settings: Mapping[str, str]) -> DeploymentRecord | None:
    """Return the record in a site's settings, or None."""
    try:
        data = json.loads(settings.get(RECORD_SETTING, ""))
        values = {name: str(data.get(name, "")) for name in DeploymentRecord.__dataclass_fields__}
        return DeploymentRecord(**{**values, "names": tuple(map(str, data.get("names", ())))})  # type: ignore[arg-type]
    except (ValueError, AttributeError, TypeError):
        return None


def app_name(spec: SiteSpec) -> str:
    """Return the site's name; empty if none is configured."""
    configured = spec.settings.app
    return configured or (spec.place.app or "").replace(FLOW_PLACEHOLDER, spec.flow.name)


def linux_fx_version(image: Image) -> str:
    """Return the site's configuration value for a pushed image; empty without a digest."""
    return f"{IMAGE_PREFIX}{image.pinned}" if image.digest else ""


def format_image(fx_version: str) -> str:
    """Return an image for display: repository and 12 digits of the digest, if it has one."""
    repository, at, digest = fx_version.removeprefix(IMAGE_PREFIX).partition("@")
    return f"{repository.rpartition('/')[2]} ({digest[7:19]})" if at else repository
