"""What Azure says when something does not work, told apart, each with the next step.

Sources: "Troubleshoot online endpoint deployment and scoring" (Azure Machine Learning),
"Troubleshoot Azure RBAC", and the SDK's errors as they were met.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from deploy.errors import DeployError, Problem

# Codes of a 404 that speak of where one looked, not of what one looked for.
WRONG_PLACE = frozenset({"SubscriptionNotFound", "ResourceGroupNotFound", "InvalidSubscriptionId"})
LONGEST = 400

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
class Said:
    """What Azure said: a status where it was an answer, a code, its messages as one text."""

    code: str
    text: str
    status: int = 0


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
    text = _short(said.text)
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
            _forbidden(said.text),
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


def refused(answer: requests.Response, what: str) -> DeployError:
    """Return the error for an answer of the resource manager that is a refusal."""
    said = of_answer(answer)
    if answer.status_code == 401:
        hint = "`az login`; is it the right tenant?"
        return DeployError("Azure", f"it does not accept the log-in: {_short(said.text)}", hint)
    if said.code in WRONG_PLACE:
        hint = "correct subscription and resource_group in environments.yaml"
        return DeployError("Azure", _short(said.text), hint)
    found = reason(said, About())
    return DeployError(f"Azure, {what}", found.what, found.hint)


def of_answer(answer: requests.Response) -> Said:
    """Read a refusal."""
    try:
        data = answer.json()
    except ValueError:
        data = {}
    error = data.get("error") if isinstance(data, dict) else None
    given = error if isinstance(error, dict) else {}
    return Said(
        str(given.get("code") or answer.status_code),
        " ".join(_messages(given)) or answer.reason or "",
        answer.status_code,
    )


def of_error(error: Exception) -> Said:
    """Read what the SDK raises.

    A failed operation is an HttpResponseError whose status is 200: only its body tells.
    """
    response = getattr(error, "response", None)
    inner = getattr(error, "error", None)
    code = str(getattr(inner, "code", None) or "")
    texts = [str(getattr(inner, "message", None) or "")]
    try:
        data = json.loads(response.text()) if response is not None else {}
    except Exception:  # a body that was read already, or is none: the SDK's own text must do
        data = {}
    found = data.get("error") if isinstance(data, dict) else None
    if isinstance(found, dict):
        code = code or str(found.get("code") or "")
        texts += list(_messages(found))
    unique = list(dict.fromkeys(text for text in texts if text))
    text = " ".join(unique) or str(getattr(error, "message", "") or error)
    return Said(code or type(error).__name__, text, int(getattr(error, "status_code", 0) or 0))


def of_operation(data: Mapping[str, Any]) -> Said:
    """Read the end of a long operation."""
    error = data.get("error") or {}
    return Said(str(error.get("code") or "Failed"), " ".join(_messages(error)))


def code_of(answer: requests.Response) -> str:
    """Return the code of a refusal."""
    return of_answer(answer).code


def scoring(where: str, status: int, headers: Mapping[str, str], about: About) -> Problem | None:
    """Return what the service in front of the container says by a status; None for other ones."""
    model = headers.get("ms-azureml-model-error-statuscode")
    if status == 424 and model:
        why = headers.get("ms-azureml-model-error-reason", "")
        hint = f"{about.inv('logs')} shows the container's own lines"
        what = f"the flow answered {model}{f' ({why})' if why else ''}"
        return Problem(where, what, hint)
    known = {
        401: (
            "it does not accept the key or token",
            f"is `auth` the endpoint's? {about.inv('plan')} tells",
        ),
        403: (
            "whoever is logged in may not score",
            "have the role AzureML Data Scientist on the endpoint assigned to it",
        ),
        404: ("no version has any traffic", f"{about.inv('deploy')} gives it some"),
        408: (
            "the flow took longer than request_timeout",
            "set a longer one (180 s at most), or make the flow quicker",
        ),
        424: ("the container does not answer", f"{about.inv('status')}, then {about.inv('logs')}"),
        429: (
            "more requests than it takes at once",
            "raise max_concurrent_requests_per_instance or instance_count, or set autoscale",
        ),
        502: (
            "the service cannot reach the container",
            f"{about.inv('status')}, then {about.inv('logs')}",
        ),
        503: ("the service is not available", "wait a minute, then try again"),
    }
    return Problem(where, *known[status]) if status in known else None


def _kind(said: Said) -> str:
    code, text = said.code.lower(), said.text.lower()
    for kind, codes, pattern in _RULES:
        if code in codes or (text and re.search(pattern, text)):
            return kind
    if said.status == 403:
        return FORBIDDEN
    return CONFLICT if said.status == 409 else FAULT if said.status >= 500 else OTHER


def _messages(error: Mapping[str, Any]) -> Iterator[str]:
    """Yield the messages of an error and of what is inside of it."""
    if error.get("message"):
        yield str(error["message"])
    for detail in error.get("details") or ():
        if isinstance(detail, Mapping):
            yield from _messages(detail)


def _short(text: str) -> str:
    """Return a message without the JSON and the links that some are wrapped in."""
    inner = re.search(r'"errors": ?\{[^{}]*?\[ ?"([^"]+)"', text)
    plain = inner.group(1) if inner else text
    plain = re.sub(r"Please see (our )?troubleshooting guide.*|\(?https?://\S+", "", plain)
    return " ".join(plain.split())[:LONGEST].rstrip(" .,:")


def _forbidden(text: str) -> str:
    who = re.search(r"client '([^']+)'", text)
    # The text names an action that it may do first, where the lacking one is on something else.
    action = re.search(r"not have permission to perform action\(s\) '([^']+)'", text) or re.search(
        r"perform action '([^']+)'", text
    )
    if not who or not action:
        return f"that is not allowed: {_short(text)}"
    return f"the identity {who[1]} may not do {action[1]}"


def _role_for(text: str, about: About) -> str:
    """Return the role that a refusal is for the want of, by the provider that it names."""
    if re.search(r"microsoft\.insights/autoscale", text, re.IGNORECASE):
        return "a role with Microsoft.Insights/autoscaleSettings/* on the resource group"
    if re.search(r"userassignedidentities/.*assign", text, re.IGNORECASE):
        return "the role Managed Identity Operator on the identity"
    return f"the role AzureML Data Scientist on {about.workspace}"
