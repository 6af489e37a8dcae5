"""What Azure says, told apart: each text once, with its sentence and its next step."""

from __future__ import annotations

import pytest

from deploy.azure import diagnosis
from deploy.azure import errors as arm_errors
from deploy.azure.errors import AzureError
from deploy.targets.azureml import errors
from deploy.targets.azureml.errors import ErrorContext

GUIDE = "Please see troubleshooting guide, available here: https://aka.ms/oe-tsg#error"
ABOUT = ErrorContext(
    "Standard_X", "the registry r.azurecr.io", "the identity 1f2e", "the workspace w"
)
NO_PULL = (
    "Endpoint identity does not have pull permission on the registry. For System Assigned Identity "
    f"case and workspace ACR, platform will wire up the permissions. {GUIDE}"
)
WRAPPED = (
    'The request is invalid. InferencingClient HttpRequest error, error detail: {"errors": {"VmSize": '
    '["Not enough quota available for Standard_X in SubscriptionId 6b8b. Current usage/limit: 0/6. '
    f'Additional needed: 8 {GUIDE}"], "type": "https://tools.ietf.org/html/rfc7231"}}'
)
FORBIDDEN = (
    "The client '3c4d' with object id '3c4d' does not have authorization to perform action "
    "'Microsoft.MachineLearningServices/workspaces/onlineEndpoints/write' over scope '/x'."
)
UNDER_WAY = "There is already an operation in progress on x. Wait until it has ended."


@pytest.mark.parametrize(
    ("code", "text", "status", "kind", "what"),
    [
        (
            "OutOfQuota",
            "There is no capacity.",
            0,
            errors.QUOTA,
            "Standard_X: There is no capacity",
        ),
        ("BadRequest", WRAPPED, 400, errors.QUOTA, "usage/limit: 0/6. Additional needed: 8"),
        ("BadArgument", NO_PULL, 0, errors.ROLE, "the identity 1f2e may not pull the image"),
        ("BadArgument", f"Unable to download user container image x. {GUIDE}", 0, errors.PULL, "x"),
        ("ImageBuildFailure", "It failed.", 0, errors.PULL, "cannot be pulled: It failed"),
        (
            "BadArgument",
            f"User container has crashed or terminated. {GUIDE}",
            0,
            errors.CRASH,
            "exited",
        ),
        (
            "ResourceNotReady",
            "User container has crashed or terminated.",
            0,
            errors.CRASH,
            "exited",
        ),
        ("ResourceNotReady", "User container is not ready.", 0, errors.NOT_READY, "in time"),
        ("BadArgument", "the readiness probe failed: 503", 0, errors.NOT_READY, "probe failed"),
        ("SecretsInjectionError", "No such vault.", 0, errors.SECRETS, "No such vault"),
        ("BadArgument", "The secret of KEY could not be retrieved.", 0, errors.SECRETS, "KEY"),
        ("WorkspaceManagedNetworkNotReady", "Wait.", 0, errors.NETWORK, "managed network"),
        (
            "OperationCanceled",
            "The operation was canceled.",
            0,
            errors.CANCELED,
            "in favor of another",
        ),
        ("Conflict", UNDER_WAY, 409, diagnosis.CONFLICT, "already an operation in progress"),
        ("ResourceExistsError", "", 409, diagnosis.CONFLICT, "another operation"),
        (
            "AuthorizationFailed",
            FORBIDDEN,
            403,
            diagnosis.FORBIDDEN,
            "the identity 3c4d may not do Mic",
        ),
        ("Whatever", "No.", 403, diagnosis.FORBIDDEN, "that is not allowed: No"),
        ("InternalServerError", "Something broke.", 0, diagnosis.FAULT, "Something broke"),
        ("502", "Bad gateway", 502, diagnosis.FAULT, "Bad gateway"),
        (
            "BadRequest",
            "Can't delete deployment with non-zero traffic weight",
            400,
            diagnosis.OTHER,
            "Azure reports BadRequest: Can't delete deployment with non-zero traffic weight",
        ),
        ("", "Strange.", 418, diagnosis.OTHER, "Azure reports 418: Strange"),
    ],
)
def test_reason(code: str, text: str, status: int, kind: str, what: str) -> None:
    found = errors.diagnose(AzureError(code, text, status), ABOUT)
    assert found.category == kind
    assert what in found.what
    assert found.hint
    assert "http" not in found.what
    assert "troubleshooting" not in found.what


def test_a_reason_is_short() -> None:
    assert (
        len(errors.diagnose(AzureError("Odd", "word " * 1000), ABOUT).what)
        < arm_errors.MAX_MESSAGE_LENGTH + 50
    )


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (401, {}, "the key or token is rejected"),
        (403, {}, "may not score"),
        (404, {}, "no version gets any traffic"),
        (408, {}, "longer than request_timeout"),
        (424, {}, "the container does not respond"),
        (
            424,
            {
                "ms-azureml-model-error-statuscode": "500",
                "ms-azureml-model-error-reason": "model_error",
            },
            "the flow returned 500 (model_error)",
        ),
        (424, {"ms-azureml-model-error-statuscode": "400"}, "the flow returned 400"),
        (429, {}, "too many requests at the same time"),
        (502, {}, "cannot reach the container"),
        (503, {}, "not available"),
    ],
)
def test_scoring(status: int, headers: dict[str, str], expected: str) -> None:
    about = ErrorContext(options="--flow faq --env dev")
    found = errors.explain_response("endpoint x", status, headers, about)
    assert found
    assert expected in found.what
    # A command in a hint is for the flow that it is about.
    assert "`inv" not in found.hint or "--flow faq --env dev`" in found.hint
    assert found.hint


@pytest.mark.parametrize("status", [200, 400, 413, 500])
def test_scoring_that_the_flow_answered(status: int) -> None:
    assert errors.explain_response("endpoint x", status, {}, ErrorContext()) is None
