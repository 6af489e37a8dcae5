"""App Service's errors and the site's responses, explained, with the next step.

Sources: "Set up staging environments in Azure App Service" (slots, swaps), "Configure a custom
container for Azure App Service" (pulling).
"""

from __future__ import annotations

from deploy.azure import diagnosis
from deploy.azure.diagnosis import CONFLICT, Diagnosis, Rule
from deploy.azure.errors import AzureError, shorten_message
from deploy.core.errors import DeployError, Problem
from deploy.targets.appservice.settings import SiteSpec

TAKEN, SLOTS, WARM_UP = "taken", "slots", "warm-up"
_RULES = (
    Rule(CONFLICT, "operation is in progress", status=409),
    Rule(TAKEN, "already exists", status=409),
    Rule(SLOTS, "number of slots", status=409),
    Rule(WARM_UP, "did not respond to http ping"),
)


def diagnose(spec: SiteSpec, error: AzureError) -> Diagnosis:
    """Return the diagnosis of an error of Azure."""
    category = diagnosis.classify(error, _RULES)
    text = shorten_message(error.text)
    sticky_names = ", ".join(spec.settings.env.sticky) or "AZURE_CLIENT_ID"
    explanations = {
        TAKEN: (f"the name is taken: {text}", "set another `app`"),
        SLOTS: (
            f"its App Service plan allows no further slot: {text}",
            "slots need the tier Standard or higher: change the plan's size, or remove `slot`",
        ),
        WARM_UP: (
            f"the slot {spec.settings.slot} did not start with production's settings: {text}",
            f"`inv logs {spec.options}`; the settings that stay with the slot ({sticky_names}) "
            "differ from production's",
        ),
    }
    if category in explanations:
        return Diagnosis(category, *explanations[category])
    role = f"the role Website Contributor on the group {spec.place.resource_group}"
    return diagnosis.explain_common(error, category, f"`inv status {spec.options}`", role)


def is_conflict(spec: SiteSpec, error: AzureError) -> bool:
    """Return whether the error is that another operation is in progress."""
    return diagnose(spec, error).category == CONFLICT


def to_deploy_error(spec: SiteSpec, error: AzureError, operation: str) -> DeployError:
    """Return the `DeployError` for an error of Azure; `operation` names the failed request."""
    return diagnose(spec, error).to_error(operation)


def explain_response(spec: SiteSpec, location: str, status: int) -> Problem | None:
    """Return the problem that a status of the service in front means; None for other statuses."""
    commands = f"`inv status {spec.options}`, then `inv logs {spec.options}`"
    explanations = {
        401: explain_unauthorized(spec),
        403: (
            "it rejects all requests: the site is stopped, or not reachable from this machine",
            f"`inv status {spec.options}`; check that `allow` has this machine's address, and with "
            "`public_network: false` that your network has a route to the private endpoint",
        ),
        502: ("the service cannot reach the container", commands),
        503: ("no container responds", commands),
    }
    return Problem(location, *explanations[status]) if status in explanations else None


def explain_unauthorized(spec: SiteSpec) -> tuple[str, str]:
    """Return the explanation of a 401, and the next step."""
    if spec.settings.auth == "entra":
        return (
            "the token is rejected",
            "check that auth_client is the app registration that the site expects, and that the "
            "signed-in identity is assigned to it",
        )
    return (
        "the key is rejected",
        "the site started with another key than the vault has now; it reads the new one within a "
        "day, or when it is restarted (`az webapp restart`)",
    )
