"""Settings that refer to a secret in a vault: `@Microsoft.KeyVault(SecretUri=…)`.

Documented: "Use Key Vault references as app settings" (both notations, the identity that reads,
what happens if a reference cannot be resolved); REST API of App Service ("Get App Settings Key
Vault References", the statuses).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from deploy.sandbox.identities import Identity
from deploy.sandbox.vault import Vault, VaultError

REFERENCE = re.compile(r"@Microsoft\.KeyVault\((?P<inner>.*)\)")
STATUSES = {403: "AccessToKeyVaultDenied", 404: "SecretNotFound"}


@dataclass(frozen=True)
class KeyVaultReference:
    """A reference and the result of resolving it."""

    text: str
    status: str
    vault: str = ""
    secret: str = ""
    version: str = ""
    value: str = field(default="", repr=False)

    def document(self, name: str, base: str) -> dict[str, Any]:
        """Return the reference of the setting `name` in the form of a response's body."""
        return {
            "id": f"{base}/config/configreferences/appsettings/{name}",
            "name": name,
            "type": "Microsoft.Web/sites/config/configreferences",
            "properties": {
                "reference": self.text,
                "status": self.status,
                "vaultName": self.vault,
                "secretName": self.secret,
                "secretVersion": self.version,
                "source": "KeyVault",
                "details": "",
            },
        }


def resolve_value(text: str, vaults: Mapping[str, Vault], who: Identity | None) -> str:
    """Return a setting's value for the container."""
    reference = resolve_reference(text, vaults, who)
    return reference.value if reference and reference.status == "Resolved" else text


def resolve_reference(
    text: str, vaults: Mapping[str, Vault], who: Identity | None
) -> KeyVaultReference | None:
    """Return the result of resolving a setting's reference; None if it has none."""
    match = REFERENCE.fullmatch(text)
    if not match:
        return None
    parts = dict(part.partition("=")[::2] for part in match["inner"].split(";"))
    host, secret, version = "", parts.get("SecretName", ""), parts.get("SecretVersion", "")
    if uri := parts.get("SecretUri"):
        host = urlsplit(uri).netloc
        path_parts = urlsplit(uri).path.strip("/").split("/")
        if path_parts[0] != "secrets" or len(path_parts) not in (2, 3):
            return KeyVaultReference(text, "InvalidSyntax")
        secret, version = path_parts[1], path_parts[2] if len(path_parts) == 3 else ""
    if not secret or not (host or parts.get("VaultName")):
        return KeyVaultReference(text, "InvalidSyntax")
    vault_names = (host, parts.get("VaultName", ""))
    vault = next(
        (
            candidate
            for candidate in vaults.values()
            if candidate.server.name in vault_names or candidate.name in vault_names
        ),
        None,
    )
    if who is None:
        return KeyVaultReference(text, "MSINotEnabled", vault_names[1], secret, version)
    if vault is None:
        return KeyVaultReference(text, "VaultNotFound", vault_names[1], secret, version)
    try:
        value = vault.read(who, secret, version).value
    except VaultError as error:
        status = STATUSES.get(error.status, "OtherReasons")
        return KeyVaultReference(text, status, vault.name, secret, version)
    return KeyVaultReference(text, "Resolved", vault.name, secret, version, value)
