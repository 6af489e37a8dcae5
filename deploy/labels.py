"""What images say of themselves: labels that others read again."""

from __future__ import annotations

# OCI Image Specification, "Pre-Defined Annotation Keys"; and the project's own.
OCI = "org.opencontainers.image"
FLOW = "flow-deploy.flow"
TAG = "flow-deploy.tag"
