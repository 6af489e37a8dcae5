"""Azure Machine Learning's errors and the endpoint's responses, explained, with the next step.

Sources: "Troubleshoot online endpoint deployment and scoring" (Azure Machine Learning), and
observed errors of the SDK.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.azure import diagnosis
from deploy.azure.diagnosis import Diagnosis, Rule
from deploy.azure.errors import AzureError, shorten_message
from deploy.core.errors import DeployError, Problem

QUOTA, ROLE, PULL, CRASH, NOT_READY, SECRETS, NETWORK, CANCELED = (
    "quota",
    "role",
    "pull",
    "crash",
    "not ready",
    "secrets",
    "network",
    "canceled",
)
_RULES = (
    Rule(QUOTA, r"not enough quota|quota exceeded|out of quota", frozenset({"outofquota"})),
    Rule(ROLE, r"pull permission|acrpull|role assignment.*registry|container registry auth"),
    Rule(PULL, r"unable to download user container image", frozenset({"imagebuildfailure"})),
    Rule(CRASH, r"container has crashed|crashed or terminated"),
    Rule(SECRETS, r"secret.*(injection|retriev)", frozenset({"secretsinjectionerror"})),
    Rule(
        NETWORK,
        r"managed network.*not.*(ready|prov)",
        frozenset({"workspacemanagednetworknotready"}),
    ),
    Rule(NOT_READY, r"probe failed|not ready", frozenset({"resourcenotready"})),
    Rule(
        CANCELED,
        r"operation was cancel",
        frozenset({"operationcanceled", "operationcancelled"}),
    ),
)


@dataclass(frozen=True)
class ErrorContext:
    """The names that error messages mention."""

    instance_type: str = "the instance type"
    registry: str = "the registry"
    identity: str = "the endpoint's identity"
    workspace: str = "the workspace"
    # Command-line options for the suggested commands.
    options: str = ""

    def command(self, task: str) -> str:
        """Return the `inv` command for `task` with the options, in backticks."""
        return f"`{f'inv {task} {self.options}'.rstrip()}`"


def diagnose(error: AzureError, context: ErrorContext) -> Diagnosis:
    """Return the diagnosis of an error of Azure."""
    category = diagnosis.classify(error, _RULES)
    text = shorten_message(error.text)
    explanations = {
        QUOTA: (
            f"Azure has no capacity for {context.instance_type}: {text}",
            "request more quota for its family (Azure Machine Learning, Quota), or set another "
            "instance_type or a smaller instance_count",
        ),
        ROLE: (
            f"{context.identity} may not pull the image",
            f"assign the role AcrPull on {context.registry} to it; this takes minutes to take "
            "effect, then run this again",
        ),
        PULL: (
            f"the image cannot be pulled: {text}",
            f"check that {context.registry} has the image, and that Azure Machine Learning can "
            "reach the registry (firewall, private endpoint)",
        ),
        CRASH: (
            "the container exited during startup",
            "see its log lines; with `target: local` the same image starts on this machine",
        ),
        NOT_READY: (
            f"the container did not become ready in time: {text}",
            "allow more time (probes.readiness.failure_threshold) or set a larger instance_type",
        ),
        SECRETS: (
            f"a secret reference cannot be resolved: {text}",
            f"check that the secret exists, and that {context.identity} has the role Azure Machine "
            "Learning Workspace Connection Secrets Reader (or Key Vault Secrets User)",
        ),
        NETWORK: (
            "the managed network of the workspace does not exist yet",
            "`az ml workspace provision-network`, then run this again",
        ),
        CANCELED: ("Azure canceled this operation in favor of another one", "run this again"),
    }
    if category in explanations:
        return Diagnosis(category, *explanations[category])
    role = _missing_role(error.text, context)
    return diagnosis.explain_common(error, category, context.command("status"), role)


def to_deploy_error(error: AzureError, operation: str) -> DeployError:
    """Return the `DeployError` for an error of Azure; `operation` names the failed request."""
    return diagnose(error, ErrorContext()).to_error(operation)


def explain_response(
    location: str, status: int, headers: Mapping[str, str], context: ErrorContext
) -> Problem | None:
    """Return the problem that a status of the service in front means; None for other statuses."""
    model_status = headers.get("ms-azureml-model-error-statuscode")
    if status == 424 and model_status:
        reason = headers.get("ms-azureml-model-error-reason", "")
        message = f"the flow returned {model_status}{f' ({reason})' if reason else ''}"
        return Problem(location, message, f"{context.command('logs')} shows the container's log")
    status_and_logs = f"{context.command('status')}, then {context.command('logs')}"
    explanations = {
        401: (
            "the key or token is rejected",
            f"{context.command('plan')} shows whether `auth` is the endpoint's",
        ),
        403: (
            "the signed-in identity may not score",
            "assign the role AzureML Data Scientist on the endpoint to it",
        ),
        404: ("no version gets any traffic", f"{context.command('deploy')} restores the traffic"),
        408: (
            "the flow took longer than request_timeout",
            "increase request_timeout (at most 180 s), or make the flow faster",
        ),
        424: ("the container does not respond", status_and_logs),
        429: (
            "too many requests at the same time",
            "increase max_concurrent_requests_per_instance or instance_count, or set autoscale",
        ),
        502: ("the service cannot reach the container", status_and_logs),
        503: ("the service is not available", "wait a minute, then try again"),
    }
    return Problem(location, *explanations[status]) if status in explanations else None


def _missing_role(text: str, context: ErrorContext) -> str:
    """Return the missing role, according to the provider that the error message names."""
    if re.search(r"microsoft\.insights/autoscale", text, re.IGNORECASE):
        return "a role with Microsoft.Insights/autoscaleSettings/* on the resource group"
    if re.search(r"userassignedidentities/.*assign", text, re.IGNORECASE):
        return "the role Managed Identity Operator on the identity"
    return f"the role AzureML Data Scientist on {context.workspace}"
