"""Error responses of App Service.

Recorded (complete responses in issues of dotnet/sign, azure-sdk-for-java and
azure-pipelines-tasks): the shape with capital letters, unlike Resource Manager's own; a name that
is taken; another operation in progress; a failed swap (417); too many slots; an image on a plan for
Windows. Assumed: unknown values of `ExtendedCode` are left out.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from deploy.sandbox.arm_errors import ArmError


class AppServiceError(ArmError):
    """An error of App Service itself."""

    def __init__(
        self, status: int, code: str, template: str, *parameters: str, extended: str = ""
    ) -> None:
        super().__init__(status, code, template.format(*parameters))
        self._entity = {
            "ExtendedCode": extended,
            "MessageTemplate": template,
            "Parameters": list(parameters),
            "Code": code,
            "Message": str(self),
        }

    @property
    def content(self) -> dict[str, Any]:
        """The body of the response."""
        details: list[dict[str, Any]] = [{"Message": str(self)}, {"Code": self.code}]
        if self._entity["ExtendedCode"]:
            details.append({"ErrorEntity": self._entity})
        return {
            "Code": self.code,
            "Message": str(self),
            "Target": None,
            "Details": details,
            "Innererror": None,
        }


def bad_request(text: str) -> AppServiceError:
    """Return the error for a value that is not allowed."""
    return AppServiceError(400, "BadRequest", "{0}", text)


def invalid_parameter_error(parameter: str) -> AppServiceError:
    """Return the error for an invalid parameter value."""
    return AppServiceError(
        400, "BadRequest", "The parameter {0} has an invalid value.", parameter, extended="01007"
    )


def name_taken_error(name: str) -> AppServiceError:
    """Return the error for a site name that another customer has."""
    text = "Website with given name {0} already exists."
    return AppServiceError(409, "Conflict", text, name, extended="54001")


def slot_limit_error(tier: str) -> AppServiceError:
    """Return the error for more slots than a plan allows."""
    text = (
        "Cannot complete the operation because the site will exceed the number of slots allowed "
        "for the '{0}' SKU."
    )
    return AppServiceError(409, "Conflict", text, tier)


def conflict_error(operation: str) -> AppServiceError:
    """Return the error for a write while another operation is in progress."""
    now = datetime.datetime.now(datetime.UTC)
    details = (
        f"Id: {uuid.uuid4()}, OperationName: {operation}, CreatedTime: "
        f"{now:%m/%d/%Y %I:%M:%S %p}, RequestId: {uuid.uuid4()}, EntityType: 3"
    )
    text = "Cannot modify this site because another operation is in progress. Details: {0}"
    return AppServiceError(409, "Conflict", text, details, extended="59203")


def swap_failed_error(site: str, slot: str) -> AppServiceError:
    """Return the error of a swap whose source does not answer."""
    text = (
        "Cannot swap site slots for site '{0}' because the '{1}' slot did not respond to http ping."
    )
    return AppServiceError(417, "ExpectationFailed", text, site, slot)
