"""Classification of Azure's errors: rules of a service, and those that hold for all services.

Sources: "Troubleshoot Azure RBAC", "Common deployment errors" (Azure Resource Manager).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.azure.errors import AzureError, describe_missing_permission, shorten_message
from deploy.core.errors import DeployError

CONFLICT, FORBIDDEN, FAULT, OTHER = "conflict", "forbidden", "fault", "other"


@dataclass(frozen=True)
class Rule:
    """A rule that assigns a category to an error: by its code, or by its message."""

    category: str
    # A regular expression for the message, in lower case; empty for none.
    pattern: str = ""
    # Error codes in lower case.
    codes: frozenset[str] = frozenset()
    # The HTTP status that the message must come with; 0 for any.
    status: int = 0

    def matches(self, error: AzureError) -> bool:
        """Return whether the rule applies to `error`."""
        if error.code.lower() in self.codes:
            return True
        is_status = self.status in (0, error.status)
        return is_status and bool(self.pattern and re.search(self.pattern, error.text.lower()))


_COMMON_RULES = (
    Rule(
        CONFLICT,
        r"operation (is )?(already )?in progress|another operation",
        frozenset({"conflict"}),
    ),
    Rule(FORBIDDEN, codes=frozenset({"authorizationfailed", "linkedauthorizationfailed"})),
    Rule(FAULT, codes=frozenset({"internalservererror", "serviceerror", "internalerror"})),
)


@dataclass(frozen=True)
class Diagnosis:
    """The category of a failure, its explanation, and the next step."""

    category: str
    what: str
    hint: str

    def to_error(self, operation: str) -> DeployError:
        """Return the `DeployError`; `operation` names the request that failed."""
        return DeployError(f"Azure, {operation}", self.what, self.hint)


def classify(error: AzureError, rules: Sequence[Rule]) -> str:
    """Return the category of an error. The first of `rules` that matches applies."""
    for rule in (*rules, *_COMMON_RULES):
        if rule.matches(error):
            return rule.category
    by_status = {403: FORBIDDEN, 409: CONFLICT}
    return by_status.get(error.status, FAULT if error.status >= 500 else OTHER)


def explain_common(
    error: AzureError, category: str, status_command: str, missing_role: str
) -> Diagnosis:
    """Return the diagnosis of an error whose category is not specific to a service.

    `missing_role` is the role that would allow the request, and its scope.
    """
    text = shorten_message(error.text)
    explanations = {
        CONFLICT: (
            f"another operation is in progress: {text}",
            f"wait until it ends ({status_command}), then run this again",
        ),
        FORBIDDEN: (
            describe_missing_permission(error.text),
            f"ask for {missing_role}; a new role assignment takes minutes to take effect",
        ),
        FAULT: (
            f"the service failed: {text}",
            "run this again; if it keeps failing, contact Azure support",
        ),
        OTHER: (
            f"Azure reports {error.code or error.status}: {text}",
            "correct it, then run this again",
        ),
    }
    return Diagnosis(category, *explanations[category])
