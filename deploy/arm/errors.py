"""What Azure said when it refused: read from answers and from what its SDKs raise.

Sources: "Common deployment errors" (Azure Resource Manager); "Troubleshoot online endpoint
deployment and scoring" (Azure Machine Learning); whole answers of App Service, whose keys begin
with capital letters, as the emulator's tests have them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import requests

from deploy.errors import DeployError

# Codes of a 404 that speak of where one looked, not of what one looked for.
WRONG_PLACE = frozenset({"SubscriptionNotFound", "ResourceGroupNotFound", "InvalidSubscriptionId"})
LONGEST = 400


@dataclass(frozen=True)
class Said:
    """What Azure said: a status where it was an answer, a code, its messages as one text."""

    code: str
    text: str
    status: int = 0


def of_answer(answer: requests.Response) -> Said:
    """Read a refusal."""
    try:
        data = answer.json()
    except ValueError:
        data = {}
    return _said(data, answer.status_code, answer.reason or "")


def of_error(error: Exception) -> Said:
    """Read what an SDK raises.

    A failed operation may be an error whose status is 200: only its body tells.
    """
    response = getattr(error, "response", None)
    inner = getattr(error, "error", None)
    status = int(getattr(error, "status_code", 0) or 0)
    try:
        data = json.loads(response.text()) if response is not None else {}
    except Exception:  # a body that was read already, or is none: the SDK's own text must do
        data = {}
    said = _said(data, status, str(getattr(error, "message", "") or error))
    code = getattr(inner, "code", None)
    return replace(said, code=str(code)) if code else said


def of_operation(data: Mapping[str, Any]) -> Said:
    """Read the end of a long operation that failed."""
    return _said(data, 0, "")


def elsewhere(said: Said) -> DeployError | None:
    """Return the error for a refusal that speaks of the log-in or the place; None for others."""
    if said.status == 401:
        hint = "`az login`; is it the right tenant?"
        return DeployError("Azure", f"it does not accept the log-in: {short(said.text)}", hint)
    if said.code in WRONG_PLACE:
        hint = "correct subscription and resource_group in environments.yaml"
        return DeployError("Azure", short(said.text), hint)
    return None


def plainly(said: Said, what: str) -> DeployError:
    """Return the sentence for a refusal of which no more is known; `what` is what was asked."""
    if said.status == 403:
        hint = "have a role with it assigned; a new role takes minutes to work"
        return DeployError(f"Azure, {what}", forbidden(said.text), hint)
    told = f"Azure says {said.code}: {short(said.text)}"
    return DeployError(f"Azure, {what}", told, "correct it, then run this again")


def short(text: str) -> str:
    """Return a message on one line, without the JSON, the links and what support needs in it."""
    inner = re.search(r'"errors": ?\{[^{}]*?\[ ?"([^"]+)"', text)
    plain = inner.group(1) if inner else text
    plain = re.sub(r"Please see (our )?troubleshooting guide.*|Details: Id: .*", "", plain)
    plain = re.sub(r"\(?https?://\S+", "", plain)
    return " ".join(plain.split())[:LONGEST].rstrip(" .,:")


def forbidden(text: str) -> str:
    """Return in words what may not be done, and who may not."""
    who = re.search(r"client '([^']+)'", text)
    # The text names an action that it may do first, where the lacking one is on something else.
    action = re.search(r"not have permission to perform action\(s\) '([^']+)'", text) or re.search(
        r"perform action '([^']+)'", text
    )
    if not who or not action:
        return f"that is not allowed: {short(text)}"
    return f"the identity {who[1]} may not do {action[1]}"


def _said(data: Any, status: int, otherwise: str) -> Said:
    given = _lower(data) if isinstance(data, Mapping) else {}
    error = given.get("error", given)
    error = _lower(error) if isinstance(error, Mapping) else {}
    texts = list(dict.fromkeys(_messages(error)))
    return Said(str(error.get("code") or status or "Failed"), " ".join(texts) or otherwise, status)


def _messages(error: Mapping[str, Any]) -> Iterator[str]:
    """Yield the messages of an error and of what is inside of it."""
    if error.get("message"):
        yield str(error["message"])
    for detail in error.get("details") or ():
        if isinstance(detail, Mapping):
            yield from _messages(_lower(detail))


def _lower(data: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in data.items()}
