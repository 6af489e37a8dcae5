"""Names and tags of the Azure resources that a deployment creates."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping

from deploy.core.entities import Image
from deploy.targets.azureml.settings import MAX_NAME_LENGTH, EndpointSpec

TAG_PREFIX = "flow-deploy."
FLOW_TAG, ENVIRONMENT_TAG = f"{TAG_PREFIX}flow", f"{TAG_PREFIX}environment"
# Tags of a deployment.
IMAGE_TAG, DIGEST_TAG, COMMIT_TAG = f"{TAG_PREFIX}tag", f"{TAG_PREFIX}digest", f"{TAG_PREFIX}commit"
DEPLOYED_BY_TAG, DEPLOYED_AT_TAG = f"{TAG_PREFIX}by", f"{TAG_PREFIX}at"
# Tags of an endpoint: whether this tool created it; the last traffic split that it set, when, and
# the previous version.
CREATED_TAG, SHARES_TAG, SINCE_TAG, PREVIOUS_TAG = (
    f"{TAG_PREFIX}{name}" for name in ("made", "shares", "since", "previous")
)


def endpoint_name(spec: EndpointSpec) -> str:
    """Return the configured endpoint name, or one derived from flow, environment and workspace.

    Endpoint names are unique within an Azure region, so the derived name ends in a hash of the
    workspace.
    """
    configured = spec.settings.endpoint
    if configured:
        return configured
    place = spec.place
    workspace_path = "/".join((place.subscription, place.resource_group, place.workspace)).lower()
    unique = hashlib.sha256(
        f"{workspace_path}/{spec.flow.name}/{spec.environment}".encode()
    ).hexdigest()[:6]
    prefix = re.sub(r"[^a-z0-9]+", "-", f"{spec.flow.name}-{spec.environment}".lower())
    return f"{prefix[: MAX_NAME_LENGTH - 7].strip('-')}-{unique}"


def choose_deployment_name(image: Image, taken: Collection[str]) -> str:
    """Return a name for a deployment of `image` that is not in `taken`.

    The name is the image's content tag, plus a number if other settings already ran the image.
    """
    base = f"v-{image.tag[:20]}"
    number = 1
    name = base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def owner_tags(spec: EndpointSpec) -> dict[str, str]:
    """Return the tags of an endpoint or a deployment: its flow and environment."""
    return {FLOW_TAG: spec.flow.name, ENVIRONMENT_TAG: spec.environment}


def deployment_tags(spec: EndpointSpec, image: Image, by: str, at: str) -> dict[str, str]:
    """Return the tags of a deployment: its flow and image, who created it, and when."""
    return {
        **owner_tags(spec),
        IMAGE_TAG: image.tag,
        DIGEST_TAG: image.digest or "",
        COMMIT_TAG: image.commit,
        DEPLOYED_BY_TAG: by,
        DEPLOYED_AT_TAG: at,
    }


def traffic_tags(traffic: Mapping[str, int], at: str, previous: str) -> dict[str, str]:
    """Return the tags of an endpoint whose traffic this tool has set."""
    return {SHARES_TAG: encode_shares(traffic), SINCE_TAG: at, PREVIOUS_TAG: previous}


def encode_shares(traffic: Mapping[str, int]) -> str:
    """Return a traffic split in the format of the tag: `v-1f2e 90, v-3d4c 10`."""
    return ", ".join(f"{name} {share}" for name, share in sorted(traffic.items()) if share)
