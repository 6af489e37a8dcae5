"""What App Service says when something does not work, told apart, each with the next step.

Sources: "Set up staging environments in Azure App Service" (slots, swaps), "Configure a custom
container for Azure App Service" (pulling), "Troubleshoot Azure RBAC".
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy.arm.errors import Said, forbidden, short
from deploy.errors import DeployError, Problem
from deploy.model import Spec
from deploy.targets.appservice.settings import place_of, settings_of

CONFLICT, TAKEN, SLOTS, WARM_UP, FORBIDDEN, FAULT, OTHER = (
    "conflict",
    "taken",
    "slots",
    "warm-up",
    "forbidden",
    "fault",
    "other",
)
# The first that fits: a status, and a part of the text in lower case.
_RULES = (
    (CONFLICT, 409, "operation is in progress"),
    (TAKEN, 409, "already exists"),
    (SLOTS, 409, "number of slots"),
    (WARM_UP, 0, "did not respond to http ping"),
    (FORBIDDEN, 403, ""),
    (CONFLICT, 409, ""),
)


@dataclass(frozen=True)
class Reason:
    """Which kind of failure it is, what is wrong in words, and what to do next."""

    kind: str
    what: str
    hint: str


def reason(spec: Spec, said: Said) -> Reason:
    """Tell what went wrong by what Azure said of it."""
    kind = _kind(said)
    text = short(said.text)
    slot = settings_of(spec).slot
    whole = {
        CONFLICT: (
            f"another operation is under way there: {text}",
            "wait for it, then run this again",
        ),
        TAKEN: (f"the name is taken: {text}", "set another `app`"),
        SLOTS: (
            f"its plan has no room for a slot: {text}",
            "slots need Standard or higher: change the plan's size, or leave `slot` out",
        ),
        WARM_UP: (
            f"the slot {slot} did not warm up with production's settings: {text}",
            f"`inv logs`; what stays with the slot ({_sticky(spec)}) differs between the two",
        ),
        FORBIDDEN: (
            forbidden(said.text),
            f"have the role Website Contributor on the group {place_of(spec).resource_group} "
            "assigned to it; a new role takes minutes to work",
        ),
        FAULT: (
            f"the service itself failed: {text}",
            "run this again; if it stays so, ask Azure's support",
        ),
        OTHER: (
            f"Azure says {said.code or said.status}: {text}",
            "correct it, then run this again",
        ),
    }
    return Reason(kind, *whole[kind])


def refused(spec: Spec, said: Said, what: str) -> DeployError:
    """Return the sentences for a refusal; `what` names what was asked."""
    found = reason(spec, said)
    return DeployError(f"Azure, {what}", found.what, found.hint)


def scoring(spec: Spec, where: str, status: int) -> Problem | None:
    """Return what the service in front of the container says by a status; None for other ones."""
    known = {
        401: unauthorized(spec),
        403: (
            "it lets nobody in: the site is stopped, or it is not reached from here",
            "`inv status`; does `allow` have this machine's address, and with `public_network: "
            "false` does your network lead to its private endpoint?",
        ),
        502: ("the service cannot reach the container", "`inv status`, then `inv logs`"),
        503: ("no container answers there", "`inv status`, then `inv logs`"),
    }
    return Problem(where, *known[status]) if status in known else None


def unauthorized(spec: Spec) -> tuple[str, str]:
    """Return what a 401 says, and what to do next."""
    if settings_of(spec).auth == "entra":
        return (
            "the token is not accepted",
            "is auth_client the registration that the site expects, and is whoever is logged in "
            "assigned to it?",
        )
    return (
        "the key is not accepted",
        "the key in the vault is another than the site started with; it reads a new one within a "
        "day, or at once when the site is restarted (`az webapp restart`)",
    )


def _sticky(spec: Spec) -> str:
    return ", ".join(settings_of(spec).env.sticky) or "AZURE_CLIENT_ID"


def _kind(said: Said) -> str:
    text = said.text.lower()
    for kind, status, part in _RULES:
        if status in (0, said.status) and part in text:
            return kind
    return FAULT if said.status >= 500 else OTHER
