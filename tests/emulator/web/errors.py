"""What App Service refuses, and how it says so.

Recorded (whole answers in issues of dotnet/sign, azure-sdk-for-java and azure-pipelines-tasks): the
shape with capital letters, unlike Resource Manager's own; a name that is taken; another operation in
progress; a swap that failed (417); too many slots; an image on a plan for Windows. Assumed: the numbers
of `ExtendedCode` that were not seen are left out.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from tests.emulator.arm_errors import RefusedError


class WebError(RefusedError):
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
        """The body that says so."""
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


def bad_request(text: str) -> WebError:
    """Return the refusal of a value that is not allowed."""
    return WebError(400, "BadRequest", "{0}", text)


def invalid(parameter: str) -> WebError:
    """Return the refusal of a parameter's value."""
    return WebError(
        400, "BadRequest", "The parameter {0} has an invalid value.", parameter, extended="01007"
    )


def name_taken(name: str) -> WebError:
    """Return the refusal of a site whose name somebody else has."""
    text = "Website with given name {0} already exists."
    return WebError(409, "Conflict", text, name, extended="54001")


def no_slots(tier: str) -> WebError:
    """Return the refusal of more slots than a plan allows."""
    text = (
        "Cannot complete the operation because the site will exceed the number of slots allowed for "
        "the '{0}' SKU."
    )
    return WebError(409, "Conflict", text, tier)


def busy(operation: str) -> WebError:
    """Return the refusal of a write while another one is under way."""
    now = datetime.datetime.now(datetime.UTC)
    about = (
        f"Id: {uuid.uuid4()}, OperationName: {operation}, CreatedTime: "
        f"{now:%m/%d/%Y %I:%M:%S %p}, RequestId: {uuid.uuid4()}, EntityType: 3"
    )
    text = "Cannot modify this site because another operation is in progress. Details: {0}"
    return WebError(409, "Conflict", text, about, extended="59203")


def swap_failed(site: str, slot: str) -> WebError:
    """Return how a swap ends whose source does not answer."""
    text = (
        "Cannot swap site slots for site '{0}' because the '{1}' slot did not respond to http ping."
    )
    return WebError(417, "ExpectationFailed", text, site, slot)
