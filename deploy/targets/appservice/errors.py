"""Classification of App Service's errors, each with an explanation and the next step.

Sources: "Set up staging environments in Azure App Service" (slots, swaps), "Configure a custom
container for Azure App Service" (pulling), "Troubleshoot Azure RBAC".
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy.azure.errors import AzureError, describe_missing_permission, shorten_message
from deploy.core.entities import Spec
from deploy.core.errors import DeployError, Problem
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
# The first match applies: an HTTP status (0 for any), and a part of the message in lower case.
_RULES = (
    (CONFLICT, 409, "operation is in progress"),
    (TAKEN, 409, "already exists"),
    (SLOTS, 409, "number of slots"),
    (WARM_UP, 0, "did not respond to http ping"),
    (FORBIDDEN, 403, ""),
    (CONFLICT, 409, ""),
)


@dataclass(frozen=True)
class Diagnosis:
    """The category of a failure, its explanation, and the next step."""

    category: str
    what: str
    hint: str


def diagnose(spec: Spec, error: AzureError) -> Diagnosis:
    """Return the diagnosis of an error of Azure."""
    category = _classify(error)
    text = shorten_message(error.text)
    slot = settings_of(spec).slot
    explanations = {
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
            f"`inv logs`; what stays with the slot ({_sticky_names(spec)}) differs between the two",
        ),
        FORBIDDEN: (
            describe_missing_permission(error.text),
            f"have the role Website Contributor on the group {place_of(spec).resource_group} "
            "assigned to it; a new role takes minutes to work",
        ),
        FAULT: (
            f"the service itself failed: {text}",
            "run this again; if it stays so, ask Azure's support",
        ),
        OTHER: (
            f"Azure says {error.code or error.status}: {text}",
            "correct it, then run this again",
        ),
    }
    return Diagnosis(category, *explanations[category])


def to_deploy_error(spec: Spec, error: AzureError, operation: str) -> DeployError:
    """Return the `DeployError` for an error of Azure; `operation` names the failed request."""
    diagnosis = diagnose(spec, error)
    return DeployError(f"Azure, {operation}", diagnosis.what, diagnosis.hint)


def explain_response(spec: Spec, location: str, status: int) -> Problem | None:
    """Return the problem that a status of the service in front means; None for other statuses."""
    explanations = {
        401: explain_unauthorized(spec),
        403: (
            "it lets nobody in: the site is stopped, or it is not reached from here",
            "`inv status`; does `allow` have this machine's address, and with `public_network: "
            "false` does your network lead to its private endpoint?",
        ),
        502: ("the service cannot reach the container", "`inv status`, then `inv logs`"),
        503: ("no container answers there", "`inv status`, then `inv logs`"),
    }
    return Problem(location, *explanations[status]) if status in explanations else None


def explain_unauthorized(spec: Spec) -> tuple[str, str]:
    """Return the explanation of a 401, and the next step."""
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


def _sticky_names(spec: Spec) -> str:
    return ", ".join(settings_of(spec).env.sticky) or "AZURE_CLIENT_ID"


def _classify(error: AzureError) -> str:
    text = error.text.lower()
    for category, status, pattern in _RULES:
        if status in (0, error.status) and pattern in text:
            return category
    return FAULT if error.status >= 500 else OTHER
