"""Settings that refer to a secret in a vault: `@Microsoft.KeyVault(SecretUri=…)`.

Documented: "Use Key Vault references as app settings" (both ways to write them, who reads, what becomes of
one that cannot be resolved); REST API of App Service ("Get App Settings Key Vault References", the
statuses).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.emulator.identities import Identity
from tests.emulator.vault import RefusedError, Vault

REFERENCE = re.compile(r"@Microsoft\.KeyVault\((?P<inner>.*)\)")
STATUSES = {403: "AccessToKeyVaultDenied", 404: "SecretNotFound"}


@dataclass(frozen=True)
class Reference:
    """A reference, and what became of it."""

    text: str
    status: str
    vault: str = ""
    secret: str = ""
    version: str = ""
    value: str = field(default="", repr=False)

    def document(self, name: str, base: str) -> dict[str, Any]:
        """Return it as a body; `name` is the setting's."""
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


def resolved(text: str, vaults: Mapping[str, Vault], who: Identity | None) -> str:
    """Return a setting's value for the container."""
    found = resolve(text, vaults, who)
    return found.value if found and found.status == "Resolved" else text


def resolve(text: str, vaults: Mapping[str, Vault], who: Identity | None) -> Reference | None:
    """Return what became of a setting's reference; None for a setting that is none."""
    match = REFERENCE.fullmatch(text)
    if not match:
        return None
    parts = dict(part.partition("=")[::2] for part in match["inner"].split(";"))
    host, secret, version = "", parts.get("SecretName", ""), parts.get("SecretVersion", "")
    if uri := parts.get("SecretUri"):
        host = urlsplit(uri).netloc
        place = urlsplit(uri).path.strip("/").split("/")
        if place[0] != "secrets" or len(place) not in (2, 3):
            return Reference(text, "InvalidSyntax")
        secret, version = place[1], place[2] if len(place) == 3 else ""
    if not secret or not (host or parts.get("VaultName")):
        return Reference(text, "InvalidSyntax")
    wanted = (host, parts.get("VaultName", ""))
    vault = next(
        (one for one in vaults.values() if one.server.name in wanted or one.name in wanted), None
    )
    if who is None:
        return Reference(text, "MSINotEnabled", wanted[1], secret, version)
    if vault is None:
        return Reference(text, "VaultNotFound", wanted[1], secret, version)
    try:
        value = vault.read(who, secret, version).value
    except RefusedError as error:
        status = STATUSES.get(error.status, "OtherReasons")
        return Reference(text, status, vault.name, secret, version)
    return Reference(text, "Resolved", vault.name, secret, version, value)
