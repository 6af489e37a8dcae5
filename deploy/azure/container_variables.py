"""The variables of a container in Azure: plain values, and references to Key Vault secrets."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from deploy.azure import caller_key
from deploy.azure.resource_ids import secret_url
from deploy.azure.settings import AuthSettings, VaultSpec
from deploy.config.target import AnySpec
from deploy.core.entities import Spec
from deploy.server.auth import KEY_VARIABLE, KEY_VARIABLES
from deploy.server.connections import CONNECTION_TYPES, MANAGED_IDENTITY, list_variables

MASK = "***"
# This variable lists the names of those whose values the container masks in its output.
MASKED_NAMES_VARIABLE = "SERVE_SECRETS"


def collect_plain(spec: AnySpec) -> dict[str, str]:
    """Return the plain variables by name, without keys that the managed identity replaces.

    A container in Azure always has an identity, so the key of a connection is used only if
    `auth: key` or env.secret asks for it.
    """
    replaced = set()
    for declaration in spec.flow.connections.values():
        connection_type = CONNECTION_TYPES[declaration["type"]]
        if (
            connection_type.identity
            and declaration.get("auth", MANAGED_IDENTITY) == MANAGED_IDENTITY
        ):
            replaced |= {name for name, secret in list_variables(declaration).items() if secret}
    replaced -= set(spec.settings.env.secret)
    return {name: text for name, text in spec.variables.items() if name not in replaced}


def collect_references(spec: VaultSpec) -> dict[str, str]:
    """Return the URLs of secrets by variable name, including the key that clients send."""
    references = {
        name: secret_url(reference) for name, reference in spec.settings.env.secret_refs.items()
    }
    key = caller_key.url(spec)
    if spec.settings.auth == "key" and key and KEY_VARIABLE not in {**spec.variables, **references}:
        references[KEY_VARIABLE] = key
    return references


def list_secret_names(spec: Spec[AuthSettings]) -> frozenset[str]:
    """Return the names of the variables whose values must not be shown."""
    return frozenset({*spec.secrets, *spec.settings.env.secret_refs, *KEY_VARIABLES})


def list_plain_secrets(spec: Spec[AuthSettings], variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the secrets in `variables` whose values would be stored as plain text."""
    references = spec.settings.env.secret_refs
    return tuple(sorted(n for n in variables if n in spec.secrets and n not in references))


def add_masked_names(spec: Spec[AuthSettings], values: Mapping[str, str]) -> dict[str, str]:
    """Return `values`, and if any of them must be masked, the variable that lists those names."""
    names = sorted(list_secret_names(spec) & set(values))
    return {**values, MASKED_NAMES_VARIABLE: ",".join(names)} if names else dict(values)


def read_masked_names(values: Mapping[str, str]) -> frozenset[str]:
    """Return the names that `values` of an earlier deploy list as masked."""
    return frozenset(filter(None, values.get(MASKED_NAMES_VARIABLE, "").split(",")))


def mask_value(name: str, value: str | None, hidden: Collection[str]) -> str:
    """Return a variable's value for display, masked if `hidden` contains its name."""
    return "-" if value is None else MASK if name in hidden else value
