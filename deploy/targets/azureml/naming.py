"""Names of what is made in Azure, and the tags that tell what it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from deploy.model import Image, Spec
from deploy.targets.azureml.settings import LONGEST_NAME, place_of, settings_of

PREFIX = "flow-deploy."
FLOW, ENVIRONMENT = f"{PREFIX}flow", f"{PREFIX}environment"
# Of a deployment.
TAG, DIGEST, COMMIT = f"{PREFIX}tag", f"{PREFIX}digest", f"{PREFIX}commit"
BY, AT = f"{PREFIX}by", f"{PREFIX}at"
# Of an endpoint: whether a deploy made it; the shares that a deploy gave last, when, and which
# version served before.
MADE, SHARES, SINCE, PREVIOUS = (
    f"{PREFIX}{name}" for name in ("made", "shares", "since", "previous")
)


def endpoint_of(spec: Spec) -> str:
    """Return the endpoint's name: the one that is set, or one that no other workspace has.

    Names of endpoints are unique in a region of Azure, so a part is a hash of the workspace.
    """
    given = settings_of(spec).endpoint
    if given:
        return given
    place = place_of(spec)
    where = "/".join((place.subscription, place.resource_group, place.workspace)).lower()
    unique = hashlib.sha256(f"{where}/{spec.flow.name}/{spec.environment}".encode()).hexdigest()[:6]
    words = re.sub(r"[^a-z0-9]+", "-", f"{spec.flow.name}-{spec.environment}".lower())
    return f"{words[: LONGEST_NAME - 7].strip('-')}-{unique}"


def deployment_of(image: Image, taken: Collection[str]) -> str:
    """Return a name for a deployment of `image` that is not `taken`.

    It is the image's content tag, with a number where other settings have run it already.
    """
    base = f"v-{image.tag[:20]}"
    number = 1
    name = base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def tags_of(spec: Spec, image: Image, by: str, at: str) -> dict[str, str]:
    """Return the tags of a deployment: what it is, who made it and when."""
    return {
        FLOW: spec.flow.name,
        ENVIRONMENT: spec.environment,
        TAG: image.tag,
        DIGEST: image.digest or "",
        COMMIT: image.commit,
        BY: by,
        AT: at,
    }


def shares_text(traffic: Mapping[str, int]) -> str:
    """Return shares as a tag has them: `v-1f2e 90, v-3d4c 10`."""
    return ", ".join(f"{name} {share}" for name, share in sorted(traffic.items()) if share)


def now() -> str:
    """Return the time as tags have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
