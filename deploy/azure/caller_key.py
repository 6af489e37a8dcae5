"""The key that clients send: a Key Vault secret, which the container gets by reference."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.azure import clouds, key_vault
from deploy.azure.resource_ids import secret_url
from deploy.azure.settings import VaultSpec
from deploy.core.entities import Spec
from deploy.server.auth import KEY_VARIABLE


def secret_name(spec: Spec) -> str:
    """Return the name of the Key Vault secret that holds the key."""
    return build_secret_name(spec.flow.name, spec.environment)


def build_secret_name(flow: str, environment: str) -> str:
    """Return the name of the secret that holds the key of a flow's clients."""
    return f"{flow}-{environment}-key"


def url(spec: VaultSpec) -> str:
    """Return the URL of the secret that holds the key, or an empty string if none is configured."""
    reference = spec.settings.env.secret_refs.get(KEY_VARIABLE)
    if reference:
        return secret_url(reference)
    return f"{spec.place.key_vault}/secrets/{secret_name(spec)}" if spec.place.key_vault else ""


def read_headers(spec: VaultSpec) -> Mapping[str, str]:
    """Return the request header with the key; never print it. Raise `DeployError` on failure."""
    cloud = clouds.resolve_cloud(spec.place.cloud)
    key = spec.variables.get(KEY_VARIABLE) or key_vault.read_secret(
        cloud, url(spec), f"the key of {spec.name}"
    )
    return {"Authorization": f"Bearer {key}"}
