"""The key that callers send: a secret of a vault, which the container gets by reference."""

from __future__ import annotations

from collections.abc import Mapping

from deploy import cloud
from deploy.arm import vault
from deploy.arm.references import secret_url
from deploy.model import Spec
from deploy.runtime.access import KEY


def name_of(spec: Spec) -> str:
    """Return the name of the secret with the key."""
    return f"{spec.flow.name}-{spec.environment}-key"


def url(spec: Spec) -> str:
    """Return the address of the secret with the key; empty where none is configured."""
    given = spec.settings.env.secret_refs.get(KEY)
    if given:
        return secret_url(given)
    return f"{spec.place.key_vault}/secrets/{name_of(spec)}" if spec.place.key_vault else ""


def headers(spec: Spec) -> Mapping[str, str]:
    """Return the header with the key; show it nobody. Raises `DeployError`."""
    where = cloud.chosen(spec.place.cloud)
    key = spec.variables.get(KEY) or vault.read(where, url(spec), f"the key of {spec.name}")
    return {"Authorization": f"Bearer {key}"}
