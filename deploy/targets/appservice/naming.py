"""Names, and the record that a deploy leaves in the site.

The record is an application setting, not a tag: settings are swapped together with the image, and
tags stay with the slot, where they would tell of the wrong version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from deploy.model import Image, Spec
from deploy.runtime.settings import DEPLOYMENT
from deploy.targets.appservice.settings import FLOW, place_of, settings_of

RECORD = "FLOW_DEPLOY"
# What is another with every deploy, and so is none of what a plan compares.
VOLATILE = frozenset({RECORD, DEPLOYMENT})
PRODUCTION = "production"
PREFIX = "DOCKER|"


@dataclass(frozen=True)
class Record:
    """What was deployed, by whom and when, and which settings are the tool's.

    `id` is what the container's /version calls it: the same image may have run before, with other
    settings.
    `first` is the image that was there before the first deploy. `previous` is the id of the version
    that served before this one, which a slot keeps; without a slot, `before` and `before_tag` are
    its image and tag.
    """

    flow: str
    environment: str
    tag: str
    id: str
    digest: str
    commit: str
    by: str
    at: str
    names: tuple[str, ...]
    first: str = ""
    previous: str = ""
    before: str = ""
    before_tag: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """The settings that it is written into."""
        text = json.dumps({name: value for name, value in asdict(self).items() if value})
        return {RECORD: text, DEPLOYMENT: self.id}

    def of(self, spec: Spec) -> bool:
        """Whether a deploy of this flow in this environment wrote it."""
        return (self.flow, self.environment) == (spec.flow.name, spec.environment)


def read(settings: Mapping[str, str]) -> Record | None:
    """Return the record among a site's settings, or None."""
    try:
        given = json.loads(settings.get(RECORD, ""))
        texts = {name: str(given.get(name, "")) for name in Record.__dataclass_fields__}
        return Record(**{**texts, "names": tuple(map(str, given.get("names", ())))})  # type: ignore[arg-type]
    except (ValueError, AttributeError, TypeError):
        return None


def app_of(spec: Spec) -> str:
    """Return the site's name; empty where none is configured."""
    given = settings_of(spec).app
    return given or (place_of(spec).app or "").replace(FLOW, spec.flow.name)


def reference(image: Image) -> str:
    """Return what the site's configuration says for an image that is in its registry."""
    return f"{PREFIX}{image.pinned}" if image.digest else ""


def shown(fx_version: str) -> str:
    """Return an image for people: repository and twelve digits of the digest, or as it is."""
    repository, at, digest = fx_version.removeprefix(PREFIX).partition("@")
    return f"{repository.rpartition('/')[2]} ({digest[7:19]})" if at else repository
