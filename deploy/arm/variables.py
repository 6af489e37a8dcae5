"""A container's variables, as Azure is told them: texts, and references to secrets of a vault."""

from __future__ import annotations

from deploy.arm import keys
from deploy.arm.references import secret_url
from deploy.model import Spec
from deploy.runtime.access import KEY
from deploy.runtime.connections import MANAGED_IDENTITY, TYPES, variables


def plain(spec: Spec) -> dict[str, str]:
    """Return the variables with their texts, without those that an identity makes needless.

    What runs in Azure always has one, so the key of a connection is used only where its
    `auth: key`, or env.secret, asks for it.
    """
    needless = set()
    for declaration in spec.flow.connections.values():
        kind = TYPES[declaration["type"]]
        if kind.identity and declaration.get("auth", MANAGED_IDENTITY) == MANAGED_IDENTITY:
            needless |= {name for name, secret in variables(declaration).items() if secret}
    needless -= set(spec.settings.env.secret)
    return {name: text for name, text in spec.variables.items() if name not in needless}


def references(spec: Spec) -> dict[str, str]:
    """Return the addresses of secrets by the variables that get them, the callers' key included."""
    found = {name: secret_url(given) for name, given in spec.settings.env.secret_refs.items()}
    key = keys.url(spec)
    if spec.settings.auth == "key" and key and KEY not in {**spec.variables, **found}:
        found[KEY] = key
    return found
