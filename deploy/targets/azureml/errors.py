"""Classification of Azure's errors, each with an explanation and the next step.

Sources: "Troubleshoot online endpoint deployment and scoring" (Azure Machine Learning),
"Troubleshoot Azure RBAC", and observed errors of the SDK.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from deploy.azure.errors import AzureError, describe_missing_permission, shorten_message
from deploy.core.errors import DeployError

(
    QUOTA,
    ROLE,
    PULL,
    CRASH,
    NOT_READY,
    SECRETS,
    NETWORK,
    CANCELED,
    CONFLICT,
    FORBIDDEN,
    FAULT,
    OTHER,
) = (
    "quota",
    "role",
    "pull",
    "crash",
    "not ready",
    "secrets",
    "network",
    "canceled",
    "conflict",
    "forbidden",
    "fault",
    "other",
)


@dataclass(frozen=True)
class Diagnosis:
    """The category of a failure, its explanation, and the next step."""

    category: str
    what: str
    hint: str


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


# The first match applies: an error code, or a pattern in the message, both in lower case.
_RULES: tuple[tuple[str, frozenset[str], str], ...] = (
    (QUOTA, frozenset({"outofquota"}), r"not enough quota|quota exceeded|out of quota"),
    (
        ROLE,
        frozenset(),
        r"pull permission|acrpull|role assignment.*registry|container registry auth",
    ),
    (PULL, frozenset({"imagebuildfailure"}), r"unable to download user container image"),
    (CRASH, frozenset(), r"container has crashed|crashed or terminated"),
    (SECRETS, frozenset({"secretsinjectionerror"}), r"secret.*(injection|retriev)"),
    (
        NETWORK,
        frozenset({"workspacemanagednetworknotready"}),
        r"managed network.*not.*(ready|prov)",
    ),
    (NOT_READY, frozenset({"resourcenotready"}), r"probe failed|not ready"),
    (CANCELED, frozenset({"operationcanceled", "operationcancelled"}), r"operation was cancel"),
    (
        CONFLICT,
        frozenset({"conflict"}),
        r"operation (is )?(already )?in progress|another operation",
    ),
    (FORBIDDEN, frozenset({"authorizationfailed", "linkedauthorizationfailed"}), r"^$"),
    (FAULT, frozenset({"internalservererror", "serviceerror", "internalerror"}), r"^$"),
)


def diagnose(error: AzureError, context: ErrorContext) -> Diagnosis:
    """Return the diagnosis of an error of Azure."""
    category = _classify(error)
    text = shorten_message(error.text)
    explanations = {
        QUOTA: (
            f"Azure has no room for {context.instance_type}: {text}",
            "ask for more cores of its family (Azure Machine Learning, Quota), or set another "
            "instance_type or a smaller instance_count",
        ),
        ROLE: (
            f"{context.identity} may not pull the image",
            f"have the role AcrPull on {context.registry} assigned to it; it takes minutes to work"
            ", then run this again",
        ),
        PULL: (
            f"the image cannot be pulled: {text}",
            f"does {context.registry} have it, and may Azure Machine Learning reach it (firewall, "
            "private endpoint)?",
        ),
        CRASH: (
            "the container ended while it started",
            "its own lines tell why; with `target: local` the same image starts on this machine",
        ),
        NOT_READY: (
            f"the container did not become ready in time: {text}",
            "give it more time (probes.readiness.failure_threshold) or a larger instance_type",
        ),
        SECRETS: (
            f"a secret reference cannot be resolved: {text}",
            f"does it exist, and has {context.identity} the role Azure Machine Learning Workspace "
            "Connection Secrets Reader (or Key Vault Secrets User)?",
        ),
        NETWORK: (
            "the managed network of the workspace is not there yet",
            "`az ml workspace provision-network`, then run this again",
        ),
        CANCELED: ("another operation came first, and Azure canceled this one", "run this again"),
        CONFLICT: (
            f"another operation is under way there: {text}",
            f"wait for it ({context.command('status')}), then run this again",
        ),
        FORBIDDEN: (
            describe_missing_permission(error.text),
            f"have {_missing_role(error.text, context)} assigned to it; a new role takes "
            "minutes to work",
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


def to_deploy_error(error: AzureError, operation: str) -> DeployError:
    """Return the `DeployError` for an error of Azure; `operation` names the failed request."""
    diagnosis = diagnose(error, ErrorContext())
    return DeployError(f"Azure, {operation}", diagnosis.what, diagnosis.hint)


def _classify(error: AzureError) -> str:
    code, text = error.code.lower(), error.text.lower()
    for category, codes, pattern in _RULES:
        if code in codes or (text and re.search(pattern, text)):
            return category
    if error.status == 403:
        return FORBIDDEN
    return CONFLICT if error.status == 409 else FAULT if error.status >= 500 else OTHER


def _missing_role(text: str, context: ErrorContext) -> str:
    """Return the missing role, according to the provider that the error message names."""
    if re.search(r"microsoft\.insights/autoscale", text, re.IGNORECASE):
        return "a role with Microsoft.Insights/autoscaleSettings/* on the resource group"
    if re.search(r"userassignedidentities/.*assign", text, re.IGNORECASE):
        return "the role Managed Identity Operator on the identity"
    return f"the role AzureML Data Scientist on {context.workspace}"
