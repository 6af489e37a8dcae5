"""A container's variables, as Azure is told them: texts, and references to secrets of a vault."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from deploy.arm import keys
from deploy.arm.references import secret_url
from deploy.model import Spec
from deploy.runtime.access import KEY, NAMES
from deploy.runtime.connections import MANAGED_IDENTITY, TYPES, variables

HIDDEN = "***"
# The container's variable with the names of those that are masked in all that it prints.
MASKED = "SERVE_SECRETS"


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


def hidden(spec: Spec) -> frozenset[str]:
    """Return the names of the variables whose values may not be shown."""
    return frozenset({*spec.secrets, *spec.settings.env.secret_refs, *NAMES})


def with_masked(spec: Spec, values: Mapping[str, str]) -> dict[str, str]:
    """Return `values` with the names of those that may not be shown, where there are some."""
    names = sorted(hidden(spec) & set(values))
    return {**values, MASKED: ",".join(names)} if names else dict(values)


def masked(values: Mapping[str, str]) -> frozenset[str]:
    """Return the names that `values` of an earlier deploy tell not to show."""
    return frozenset(filter(None, values.get(MASKED, "").split(",")))


def shown(name: str, value: str | None, hidden: Collection[str]) -> str:
    """Return a variable's value for people."""
    return "-" if value is None else HIDDEN if name in hidden else value
