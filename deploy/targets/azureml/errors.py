"""What Azure says when something does not work, told apart, each with the next step.

Sources: "Troubleshoot online endpoint deployment and scoring" (Azure Machine Learning),
"Troubleshoot Azure RBAC", and the SDK's errors as they were met.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from deploy.arm.errors import Said, forbidden, short
from deploy.errors import DeployError

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
class Reason:
    """Which kind of failure it is, what is wrong in words, and what to do next."""

    kind: str
    what: str
    hint: str


@dataclass(frozen=True)
class About:
    """What sentences name: size, registry, whose identity, workspace, and a command's options."""

    instance_type: str = "the instance type"
    registry: str = "the registry"
    identity: str = "the endpoint's identity"
    workspace: str = "the workspace"
    options: str = ""

    def inv(self, task: str) -> str:
        """Return a command for what this is about."""
        return f"`{f'inv {task} {self.options}'.rstrip()}`"


# The first that fits: by code or by a part of the text, both in lower case.
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


def reason(said: Said, about: About) -> Reason:
    """Tell what went wrong by what Azure said of it."""
    kind = _kind(said)
    text = short(said.text)
    whole = {
        QUOTA: (
            f"Azure has no room for {about.instance_type}: {text}",
            "ask for more cores of its family (Azure Machine Learning, Quota), or set another "
            "instance_type or a smaller instance_count",
        ),
        ROLE: (
            f"{about.identity} may not pull the image",
            f"have the role AcrPull on {about.registry} assigned to it; it takes minutes to work, "
            "then run this again",
        ),
        PULL: (
            f"the image cannot be pulled: {text}",
            f"does {about.registry} have it, and may Azure Machine Learning reach it (firewall, "
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
            f"does it exist, and has {about.identity} the role Azure Machine Learning Workspace "
            "Connection Secrets Reader (or Key Vault Secrets User)?",
        ),
        NETWORK: (
            "the managed network of the workspace is not there yet",
            "`az ml workspace provision-network`, then run this again",
        ),
        CANCELED: ("another operation came first, and Azure canceled this one", "run this again"),
        CONFLICT: (
            f"another operation is under way there: {text}",
            f"wait for it ({about.inv('status')}), then run this again",
        ),
        FORBIDDEN: (
            forbidden(said.text),
            f"have {_role_for(said.text, about)} assigned to it; a new role takes minutes to work",
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


def refused(said: Said, what: str) -> DeployError:
    """Return the sentences for a refusal; `what` names what was asked."""
    found = reason(said, About())
    return DeployError(f"Azure, {what}", found.what, found.hint)


def _kind(said: Said) -> str:
    code, text = said.code.lower(), said.text.lower()
    for kind, codes, pattern in _RULES:
        if code in codes or (text and re.search(pattern, text)):
            return kind
    if said.status == 403:
        return FORBIDDEN
    return CONFLICT if said.status == 409 else FAULT if said.status >= 500 else OTHER


def _role_for(text: str, about: About) -> str:
    """Return the role that a refusal is for the want of, by the provider that it names."""
    if re.search(r"microsoft\.insights/autoscale", text, re.IGNORECASE):
        return "a role with Microsoft.Insights/autoscaleSettings/* on the resource group"
    if re.search(r"userassignedidentities/.*assign", text, re.IGNORECASE):
        return "the role Managed Identity Operator on the identity"
    return f"the role AzureML Data Scientist on {about.workspace}"
