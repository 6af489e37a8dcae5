"""Error responses of Azure Machine Learning, and errors of its long-running operations.

Recorded (reports of users, with the whole text of the SDK's error): the shape of an error from the
service behind Resource Manager, `InferencingClientCallFailed` and
`InferencingClientCreateDeploymentFailed`; no quota; a deployment whose first provisioning failed;
an endpoint that was not created; a pull without a role; a container that crashed. Documented: the
codes of operations ("Troubleshooting online endpoints deployment and scoring"). Assumed: every
other text.
"""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

from deploy.sandbox.arm_errors import ArmError

GUIDE = "Please see troubleshooting guide, available here: https://aka.ms/oe-tsg"
CALL_FAILED = "InferencingClientCallFailed"
CREATE_FAILED = "InferencingClientCreateDeploymentFailed"


def operation_error(code: str, message: str) -> ArmError:
    """Return the error of a long-running operation."""
    return ArmError(400, code, message)


def validation_error(text: str, field: str = "", status: int = 400) -> ArmError:
    """Return an error of the inference service behind Resource Manager."""
    inner = {"errors": {field: [text]}, "title": "One or more validation errors occurred."}
    return _refused("The request is invalid.", CALL_FAILED, json.dumps(inner), status)


def bad_request(text: str) -> ArmError:
    """Return an error of the management frontend itself."""
    return ArmError(400, "UserError", text, additionalInfo=_additional())


def conflict(name: str) -> ArmError:
    """Return the error for a write while another operation runs (documented for Kubernetes)."""
    text = f"There is already an operation in progress on {name}. Wait until it has ended."
    return ArmError(409, "Conflict", text, additionalInfo=_additional())


def quota_error(size: str, subscription: str, used: int, limit: int, needed: int) -> ArmError:
    """Return the error for more cores than the quota allows."""
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


def pull_denied_error() -> ArmError:
    """Return the error of a deployment whose identity may not pull the image."""
    text = (
        "Endpoint identity does not have pull permission on the registry. For System Assigned "
        "Identity case and workspace ACR, platform will wire up the permissions but if user is "
        "creating deployment with User Assigned Identity or if using non-workspace ACR, then User "
        f"should grant pull permissions to identity on the registry. {GUIDE}#authorization-error"
    )
    return operation_error("BadArgument", text)


def image_unavailable_error(image: str, why: str) -> ArmError:
    """Return the error of a deployment whose image cannot be found."""
    text = (
        f"Unable to download user container image {image}: {why}. "
        f"{GUIDE}#unable-to-download-user-container-image"
    )
    return operation_error("BadArgument", text)


def container_crashed_error(code: str) -> ArmError:
    """Return the error of a deployment whose container exited."""
    text = f"User container has crashed or terminated. {GUIDE}#error-resourcenotready"
    return operation_error(code, text)


def probe_failed_error(probe: str, why: str) -> ArmError:
    """Return the error of a deployment whose container fails its probes."""
    text = (
        f"User container is not ready: the {probe} probe failed: {why}. "
        f"{GUIDE}#error-resourcenotready"
    )
    return operation_error("ResourceNotReady", text)


def canceled_error() -> ArmError:
    """Return the error of a cancelled operation."""
    return operation_error("OperationCanceled", "The operation was canceled.")


def _refused(message: str, code: str, detail: str, status: int) -> ArmError:
    details = [{"code": code, "message": detail}]
    return ArmError(status, "BadRequest", message, details=details, additionalInfo=_additional())


def _additional() -> list[dict[str, Any]]:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    correlation = {"operation": uuid.uuid4().hex, "request": uuid.uuid4().hex[:16]}
    values = {
        "ComponentName": "managementfrontend",
        "Correlation": correlation,
        "Environment": "westeurope",
        "Location": "westeurope",
        "Time": now,
    }
    return [{"type": key, "info": {"value": value}} for key, value in values.items()]
