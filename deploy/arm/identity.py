"""What the identity of a resource in Azure is used for."""

from __future__ import annotations

from deploy.model import Spec
from deploy.runtime.connections import MANAGED_IDENTITY, TYPES, variables


def needless(spec: Spec) -> set[str]:
    """Return the variables of keys that an identity makes needless.

    What runs in Azure always has one, so a key is used only where `auth: key` of the connection, or
    env.secret, asks for it.
    """
    found = set()
    for declaration in spec.flow.connections.values():
        kind = TYPES[declaration["type"]]
        if kind.identity and declaration.get("auth", MANAGED_IDENTITY) == MANAGED_IDENTITY:
            found |= {name for name, secret in variables(declaration).items() if secret}
    return found - set(spec.settings.env.secret)
