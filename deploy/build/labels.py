"""The labels of a flow's image: the names that this tool writes and reads, and their values."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from deploy.core import git

# OCI Image Specification, "Pre-Defined Annotation Keys"; and the project's own.
OCI_PREFIX = "org.opencontainers.image"
FLOW = "flow-deploy.flow"
TAG = "flow-deploy.tag"


def create(flow: str, tag: str, base: str, revision: str, root: Path) -> dict[str, str]:
    """Return the labels of the image `tag` of `flow`; those without a value are left out.

    `base` is the reference of its base image.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    created = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)
    values = {
        f"{OCI_PREFIX}.title": flow,
        f"{OCI_PREFIX}.version": tag,
        f"{OCI_PREFIX}.created": created.isoformat(timespec="seconds"),
        f"{OCI_PREFIX}.revision": revision,
        f"{OCI_PREFIX}.source": git.read_remote_url(root),
        f"{OCI_PREFIX}.base.name": base,
        FLOW: flow,
        TAG: tag,
    }
    return {key: value for key, value in values.items() if value}
