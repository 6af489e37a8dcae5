"""Pushes in an emulated Azure."""

from __future__ import annotations

from deploy.sandbox.acr import Acr

TYPES = {
    "application/vnd.cyclonedx+json",
    "application/spdx+json",
    "application/vnd.in-toto+json",
}


def pushes(acr: Acr) -> list[str]:
    """Return the requests that changed something in the registry."""
    return [
        f"{seen.method} {seen.path}" for seen in acr.server.requests("PUT|PATCH|DELETE", "/v2/")
    ]
