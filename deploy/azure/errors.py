"""Azure's error responses: read from HTTP responses and SDK exceptions, and explained.

Sources: "Common deployment errors" (Azure Resource Manager); "Troubleshoot online endpoint
deployment and scoring" (Azure Machine Learning); complete responses of App Service, whose keys
begin with capital letters, as recorded in the tests of `deploy/sandbox`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import requests

from deploy.core.errors import DeployError

# Codes of a 404 that report a wrong scope of the request, not a missing resource.
WRONG_SCOPE_CODES = frozenset(
    {"SubscriptionNotFound", "ResourceGroupNotFound", "InvalidSubscriptionId"}
)
MAX_MESSAGE_LENGTH = 400


@dataclass(frozen=True)
class AzureError:
    """An error that Azure reported."""

    code: str
    # All messages of the error, joined.
    text: str
    # The HTTP status; 0 if the error did not come from a response.
    status: int = 0


def parse_response(answer: requests.Response) -> AzureError:
    """Return the error in an HTTP response."""
    try:
        data = answer.json()
    except ValueError:
        data = {}
    return _parse_error(data, answer.status_code, answer.reason or "")


def parse_sdk_error(error: Exception) -> AzureError:
    """Return the error in an exception of an Azure SDK.

    The exception for a failed operation can have status 200: only its body describes the error.
    """
    response = getattr(error, "response", None)
    inner = getattr(error, "error", None)
    status = int(getattr(error, "status_code", 0) or 0)
    try:
        data = json.loads(response.text()) if response is not None else {}
    except Exception:  # the body was consumed or is missing: use the SDK's own message
        data = {}
    parsed = _parse_error(data, status, str(getattr(error, "message", "") or error))
    code = getattr(inner, "code", None)
    return replace(parsed, code=str(code)) if code else parsed


def parse_operation(data: Mapping[str, Any]) -> AzureError:
    """Return the error of a failed long-running operation."""
    return _parse_error(data, 0, "")


def explain_common_error(error: AzureError) -> DeployError | None:
    """Return the `DeployError` for a failed sign-in or a wrong scope; None for other errors."""
    if error.status == 401:
        hint = "`az login`; is it the right tenant?"
        return DeployError(
            "Azure", f"it does not accept the log-in: {shorten_message(error.text)}", hint
        )
    if error.code in WRONG_SCOPE_CODES:
        hint = "correct subscription and resource_group in environments.yaml"
        return DeployError("Azure", shorten_message(error.text), hint)
    return None


def explain_error(error: AzureError, resource: str) -> DeployError:
    """Return the `DeployError` for any other error; `resource` names what was requested."""
    if error.status == 403:
        hint = "have a role with it assigned; a new role takes minutes to work"
        return DeployError(f"Azure, {resource}", describe_missing_permission(error.text), hint)
    message = f"Azure says {error.code}: {shorten_message(error.text)}"
    return DeployError(f"Azure, {resource}", message, "correct it, then run this again")


def shorten_message(text: str) -> str:
    """Return a message on one line, without its JSON, links and support details."""
    inner = re.search(r'"errors": ?\{[^{}]*?\[ ?"([^"]+)"', text)
    plain = inner.group(1) if inner else text
    plain = re.sub(r"Please see (our )?troubleshooting guide.*|Details: Id: .*", "", plain)
    plain = re.sub(r"\(?https?://\S+", "", plain)
    return " ".join(plain.split())[:MAX_MESSAGE_LENGTH].rstrip(" .,:")


def describe_missing_permission(text: str) -> str:
    """Return a phrase that names the missing permission and the identity that lacks it."""
    client = re.search(r"client '([^']+)'", text)
    # If the missing action is on a linked resource, the text first names an allowed action.
    action = re.search(r"not have permission to perform action\(s\) '([^']+)'", text) or re.search(
        r"perform action '([^']+)'", text
    )
    if not client or not action:
        return f"that is not allowed: {shorten_message(text)}"
    return f"the identity {client[1]} may not do {action[1]}"


def _parse_error(data: Any, status: int, fallback: str) -> AzureError:
    body = _lowercase_keys(data) if isinstance(data, Mapping) else {}
    error = body.get("error", body)
    error = _lowercase_keys(error) if isinstance(error, Mapping) else {}
    texts = list(dict.fromkeys(_messages(error)))
    return AzureError(
        str(error.get("code") or status or "Failed"), " ".join(texts) or fallback, status
    )


def _messages(error: Mapping[str, Any]) -> Iterator[str]:
    """Yield the messages of an error and of its nested errors."""
    if error.get("message"):
        yield str(error["message"])
    for detail in error.get("details") or ():
        if isinstance(detail, Mapping):
            yield from _messages(_lowercase_keys(detail))


def _lowercase_keys(data: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in data.items()}
