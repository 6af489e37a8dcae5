"""Names of image labels that this tool writes and reads."""

from __future__ import annotations

# OCI Image Specification, "Pre-Defined Annotation Keys"; and the project's own.
OCI_PREFIX = "org.opencontainers.image"
FLOW = "flow-deploy.flow"
TAG = "flow-deploy.tag"
