"""Connections without a connection store: from declarations and environment variables.

A declaration says which environment variable holds each field of a connection. It names, and never
holds, a secret; so it may travel in the image. The values are read when the container starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Variables that Azure sets where a managed identity or a federated token can be used
# (azure-identity: ManagedIdentityCredential, WorkloadIdentityCredential).
IDENTITY_SIGNS = (
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_CLIENT_ID",
)

# Values of `auth` in a declaration; without it, the key is used where its variable is set.
KEY = "key"
MANAGED_IDENTITY = "managed_identity"


@dataclass(frozen=True)
class ConnectionType:
    """What promptflow-core wants to know about one type of connection.

    `endpoint` fields differ by environment, so they must come from variables. `plain` fields may be
    written out. `identity` tells whether the service takes a token of Microsoft Entra ID instead of
    a key.
    """

    class_name: str
    endpoint: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    secret: str | None = "api_key"
    identity: bool = False
    optional: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that a declaration may set."""
        return (*self.endpoint, *self.plain, *((self.secret,) if self.secret else ()))


# Names and fields: promptflow's documentation "Connection" and `promptflow.core._connection`
# 1.18.5.
TYPES: Mapping[str, ConnectionType] = {
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
class Resolved:
    """Connections as promptflow's executor takes them, the secrets in them, what is missing."""

    connections: dict[str, dict[str, Any]]
    secrets: tuple[str, ...]
    problems: tuple[str, ...]


def variables(declaration: Mapping[str, Any]) -> dict[str, bool]:
    """Return the variables that `declaration` names, each with whether it holds a secret."""
    if declaration["type"] == "custom":
        found = dict.fromkeys(declaration.get("configs", {}).values(), False)
        found.update(dict.fromkeys(declaration.get("secrets", {}).values(), True))
        return found
    kind = TYPES[declaration["type"]]
    return {
        value: field == kind.secret
        for field, value in declaration.items()
        if field in kind.fields and is_variable(value)
    }


def is_variable(value: object) -> bool:
    """Tell whether `value` looks like the name of a variable: AZURE_OPENAI_ENDPOINT."""
    return (
        isinstance(value, str)
        and value[:1].isalpha()
        and value.isupper()
        and value.isascii()
        and value.replace("_", "").isalnum()
    )


def resolve(declared: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]) -> Resolved:
    """Fill `declared` in from `environ`.

    A variable that is set but empty counts as not set: App Service and CI systems leave such
    behind.
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
    return Resolved(connections, tuple(s for s in secrets if s), tuple(problems))


def _typed(
    name: str, declaration: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    kind = TYPES[declaration["type"]]
    value: dict[str, str] = {}
    missing: list[str] = []
    for field in (*kind.endpoint, *kind.plain):
        source = declaration.get(field)
        if source is None:
            continue
        text = environ.get(source, "") if is_variable(source) else str(source)
        if text:
            value[field] = text
        elif field not in kind.optional:
            missing.append(f"set {source} (its {field})")
    secret_keys = _authenticate(kind, declaration, environ, value, missing)
    return _executor_form(name, kind.class_name, value, secret_keys), missing


def _authenticate(
    kind: ConnectionType,
    declaration: Mapping[str, Any],
    environ: Mapping[str, str],
    value: dict[str, str],
    missing: list[str],
) -> list[str]:
    """Add the key, or the wish to use an identity, to `value`.

    Return the names of its secret fields.
    """
    if kind.secret is None:
        return []
    source = declaration.get(kind.secret)
    key = environ.get(source, "") if source else ""
    auth = declaration.get("auth")
    if auth is None:
        identity_at_hand = any(environ.get(sign) for sign in IDENTITY_SIGNS)
        auth = MANAGED_IDENTITY if kind.identity and not key and identity_at_hand else KEY
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
    return _executor_form(name, "CustomConnection", value, list(secret_sources)), missing


def _executor_form(
    name: str, class_name: str, value: dict[str, str], secret_keys: list[str]
) -> dict[str, Any]:
    return {
        "name": name,
        "type": class_name,
        "module": "promptflow.connections",
        "value": value,
        "secret_keys": secret_keys,
    }
