"""What Azure Machine Learning refuses at once, and how its long operations fail.

Recorded (reports of users, with the whole text of the SDK's error): the shape of a refusal by the
service behind Resource Manager, `InferencingClientCallFailed` and
`InferencingClientCreateDeploymentFailed`; no quota; a deployment whose first provisioning failed; an
endpoint that was not created; a pull without a role; a container that crashed. Documented: the codes
of operations ("Troubleshooting online endpoints deployment and scoring"). Assumed: every other text.
"""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

from tests.emulator.arm_errors import RefusedError

GUIDE = "Please see troubleshooting guide, available here: https://aka.ms/oe-tsg"
CALL_FAILED = "InferencingClientCallFailed"
CREATE_FAILED = "InferencingClientCreateDeploymentFailed"


class FailedError(Exception):
    """How a long operation ended; the code and the message of its status."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def content(self) -> dict[str, Any]:
        """The `error` of the operation's status."""
        return {"code": self.code, "message": str(self)}


def invalid(text: str, field: str = "", status: int = 400) -> RefusedError:
    """Return the refusal of what the service behind the front refuses."""
    inner = {"errors": {field: [text]}, "title": "One or more validation errors occurred."}
    return _refused("The request is invalid.", CALL_FAILED, json.dumps(inner), status)


def bad_request(text: str) -> RefusedError:
    """Return the refusal of a request that the front refuses by itself."""
    return RefusedError(400, "UserError", text, additionalInfo=_additional())


def conflict(name: str) -> RefusedError:
    """Return the refusal of a write while another one is under way (documented for Kubernetes)."""
    text = f"There is already an operation in progress on {name}. Wait until it has ended."
    return RefusedError(409, "Conflict", text, additionalInfo=_additional())


def out_of_quota(size: str, subscription: str, used: int, limit: int, needed: int) -> RefusedError:
    """Return the refusal of more cores than there are."""
    text = (
        f"Not enough quota available for {size} in SubscriptionId {subscription}. Current "
        f"usage/limit: {used}/{limit}. Additional needed: {needed} {GUIDE}#error-outofquota"
    )
    inner = {
        "errors": {"VmSize": [text]},
        "type": "https://tools.ietf.org/html/rfc7231#section-6.5.1",
        "title": "One or more validation errors occurred.",
        "status": 400,
        "traceId": f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01",
    }
    detail = f"InferencingClient HttpRequest error, error detail: {json.dumps(inner)}"
    return _refused("The request is invalid.", CREATE_FAILED, detail, 400)


def pull_denied() -> FailedError:
    """Return the end of a deployment whose identity may not pull."""
    text = (
        "Endpoint identity does not have pull permission on the registry. For System Assigned "
        "Identity case and workspace ACR, platform will wire up the permissions but if user is "
        "creating deployment with User Assigned Identity or if using non-workspace ACR, then User "
        f"should grant pull permissions to identity on the registry. {GUIDE}#authorization-error"
    )
    return FailedError("BadArgument", text)


def pull_failed(image: str, why: str) -> FailedError:
    """Return the end of a deployment whose image is not there."""
    text = (
        f"Unable to download user container image {image}: {why}. "
        f"{GUIDE}#unable-to-download-user-container-image"
    )
    return FailedError("BadArgument", text)


def crashed(code: str) -> FailedError:
    """Return the end of a deployment whose container ended."""
    text = f"User container has crashed or terminated. {GUIDE}#error-resourcenotready"
    return FailedError(code, text)


def not_ready(probe: str, why: str) -> FailedError:
    """Return the end of a deployment whose container does not answer its probes."""
    text = f"User container is not ready: the {probe} probe failed: {why}. {GUIDE}#error-resourcenotready"
    return FailedError("ResourceNotReady", text)


def canceled() -> FailedError:
    """Return the end of what was given up."""
    return FailedError("OperationCanceled", "The operation was canceled.")


def _refused(message: str, code: str, detail: str, status: int) -> RefusedError:
    details = [{"code": code, "message": detail}]
    return RefusedError(
        status, "BadRequest", message, details=details, additionalInfo=_additional()
    )


def _additional() -> list[dict[str, Any]]:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    correlation = {"operation": uuid.uuid4().hex, "request": uuid.uuid4().hex[:16]}
    told = {
        "ComponentName": "managementfrontend",
        "Correlation": correlation,
        "Environment": "westeurope",
        "Location": "westeurope",
        "Time": now,
    }
    return [{"type": key, "info": {"value": value}} for key, value in told.items()]
