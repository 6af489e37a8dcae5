"""Connections from declarations and environment variables, without a connection store.

A declaration names the environment variable for each field of a connection. It contains no secret,
only a secret's name, so the image can contain it. The values are read when the container starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Variables that Azure sets where a managed identity or a federated token is available
# (azure-identity: ManagedIdentityCredential, WorkloadIdentityCredential).
IDENTITY_VARIABLES = (
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_CLIENT_ID",
)

# Values of `auth` in a declaration. Without `auth`, the key is used if its variable is set.
KEY_AUTH = "key"
MANAGED_IDENTITY = "managed_identity"


@dataclass(frozen=True)
class ConnectionType:
    """A type of connection of promptflow-core."""

    class_name: str
    # Fields that differ by environment, so they must come from variables.
    endpoint: tuple[str, ...] = ()
    # Fields whose values can be in the declaration itself.
    plain: tuple[str, ...] = ()
    secret: str | None = "api_key"
    # Whether the service accepts a token of Microsoft Entra ID instead of a key.
    identity: bool = False
    # Fields that can be missing.
    optional: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Return all fields that a declaration can set."""
        return (*self.endpoint, *self.plain, *((self.secret,) if self.secret else ()))


# Names and fields: promptflow's documentation "Connection" and `promptflow.core._connection`
# 1.18.5.
CONNECTION_TYPES: Mapping[str, ConnectionType] = {
    "azure_open_ai": ConnectionType(
        "AzureOpenAIConnection",
        endpoint=("api_base", "resource_id"),
        plain=("api_version", "api_type"),
        identity=True,
        optional=("resource_id",),
    ),
    "open_ai": ConnectionType(
        "OpenAIConnection",
        endpoint=("base_url",),
        plain=("organization",),
        optional=("base_url",),
    ),
    "serverless": ConnectionType("ServerlessConnection", endpoint=("api_base",)),
    "cognitive_search": ConnectionType(
        "CognitiveSearchConnection",
        endpoint=("api_base",),
        plain=("api_version",),
        identity=True,
    ),
    "azure_ai_services": ConnectionType(
        "AzureAIServicesConnection", endpoint=("endpoint",), identity=True
    ),
    "azure_content_safety": ConnectionType(
        "AzureContentSafetyConnection",
        endpoint=("endpoint",),
        plain=("api_version", "api_type"),
    ),
    "form_recognizer": ConnectionType(
        "FormRecognizerConnection",
        endpoint=("endpoint",),
        plain=("api_version", "api_type"),
    ),
    "serp": ConnectionType("SerpConnection"),
    "custom": ConnectionType("CustomConnection", secret=None),
}


@dataclass(frozen=True)
class ResolvedConnections:
    """The connections with the values of their variables."""

    # By name, in the form of promptflow's executor.
    connections: dict[str, dict[str, Any]]
    # The secrets in these connections.
    secrets: tuple[str, ...]
    # One line for each missing value.
    problems: tuple[str, ...]


def list_variables(declaration: Mapping[str, Any]) -> dict[str, bool]:
    """Return the variables that `declaration` names; true for each that contains a secret."""
    if declaration["type"] == "custom":
        variables = dict.fromkeys(declaration.get("configs", {}).values(), False)
        variables.update(dict.fromkeys(declaration.get("secrets", {}).values(), True))
        return variables
    kind = CONNECTION_TYPES[declaration["type"]]
    return {
        value: field == kind.secret
        for field, value in declaration.items()
        if field in kind.fields and is_variable_name(value)
    }


def is_variable_name(value: object) -> bool:
    """Return whether `value` looks like the name of a variable, as AZURE_OPENAI_ENDPOINT does."""
    return (
        isinstance(value, str)
        and value[:1].isalpha()
        and value.isupper()
        and value.isascii()
        and value.replace("_", "").isalnum()
    )


def resolve(
    declared: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]
) -> ResolvedConnections:
    """Return the connections of `declared` with their values from `environ`.

    An empty variable counts as not set: App Service and CI systems leave empty variables behind.
    """
    connections: dict[str, dict[str, Any]] = {}
    secrets: list[str] = []
    problems: list[str] = []
    for name, declaration in declared.items():
        fill = _custom if declaration["type"] == "custom" else _typed
        connection, missing = fill(name, declaration, environ)
        connections[name] = connection
        problems += [f"connection {name}: {text}" for text in missing]
        secrets += [connection["value"][key] for key in connection["secret_keys"]]
    return ResolvedConnections(connections, tuple(s for s in secrets if s), tuple(problems))


def _typed(
    name: str, declaration: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    kind = CONNECTION_TYPES[declaration["type"]]
    value: dict[str, str] = {}
    missing: list[str] = []
    for field in (*kind.endpoint, *kind.plain):
        source = declaration.get(field)
        if source is None:
            continue
        text = environ.get(source, "") if is_variable_name(source) else str(source)
        if text:
            value[field] = text
        elif field not in kind.optional:
            missing.append(f"set {source} (its {field})")
    secret_keys = _authenticate(kind, declaration, environ, value, missing)
    return _format_for_executor(name, kind.class_name, value, secret_keys), missing


def _authenticate(
    kind: ConnectionType,
    declaration: Mapping[str, Any],
    environ: Mapping[str, str],
    value: dict[str, str],
    missing: list[str],
) -> list[str]:
    """Add the key, or the setting for a managed identity, to `value`.

    Returns the names of the secret fields.
    """
    if kind.secret is None:
        return []
    source = declaration.get(kind.secret)
    key = environ.get(source, "") if source else ""
    auth = declaration.get("auth")
    if auth is None:
        has_identity = any(environ.get(variable) for variable in IDENTITY_VARIABLES)
        auth = MANAGED_IDENTITY if kind.identity and not key and has_identity else KEY_AUTH
    if auth == MANAGED_IDENTITY:
        value["auth_mode"] = "meid_token"
        return []
    if not key:
        instead = ", or run with a managed identity" if kind.identity else ""
        missing.append(f"set {source or kind.secret.upper()} (its {kind.secret}){instead}")
    value[kind.secret] = key
    return [kind.secret]


def _custom(
    name: str, declaration: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    secret_sources: Mapping[str, str] = declaration.get("secrets", {})
    sources = {**declaration.get("configs", {}), **secret_sources}
    value = {field: environ.get(source, "") for field, source in sources.items()}
    missing = [f"set {sources[field]} (its {field})" for field in sources if not value[field]]
    strong_type = declaration.get("custom_type")
    if strong_type:
        # promptflow finds the class of a custom strong type by these two keys.
        module, _, class_name = strong_type.rpartition(":")
        value["promptflow.connection.custom_type"] = class_name
        value["promptflow.connection.module"] = module
    return _format_for_executor(name, "CustomConnection", value, list(secret_sources)), missing


def _format_for_executor(
    name: str, class_name: str, value: dict[str, str], secret_keys: list[str]
) -> dict[str, Any]:
    return {
        "name": name,
        "type": class_name,
        "module": "promptflow.connections",
        "value": value,
        "secret_keys": secret_keys,
    }
