"""The output of `az deployment sub what-if`, as table rows.

Documented: "Bicep what-if", change types and the shape of `--no-pretty-print`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from deploy.infra import resource_ids

ACTIONS = {
    "Create": "create",
    "Delete": "remove",
    "Modify": "change",
    "Deploy": "change",
    "NoChange": "keep",
    "Unsupported": "unknown",
}
# The change type of a resource outside the deployment: it stays as it is.
IGNORED_CHANGE = "Ignore"
UNCHANGED_ACTIONS = ("keep",)
MAX_VALUE_LENGTH = 40


def build_rows(data: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row for each change: action, resource and differences; most serious first."""
    rows = [
        {
            "action": ACTIONS.get(str(change["changeType"]), str(change["changeType"])),
            "what": _describe_resource(str(change["resourceId"])),
            "differs": "; ".join(_differences(change.get("delta") or [])),
        }
        for change in data.get("changes") or []
        if change["changeType"] != IGNORED_CHANGE
    ]
    order = ["remove", "change", "create", "unknown", "keep"]
    return sorted(rows, key=lambda row: (order.index(row["action"]), row["what"]))


def has_changes(rows: list[dict[str, str]]) -> bool:
    """Return whether any row changes something."""
    return any(row["action"] not in UNCHANGED_ACTIONS for row in rows)


def _describe_resource(id: str) -> str:
    """Return a readable name of a resource, or of the resource that it belongs to."""
    owner, _, rest = id.rpartition("/providers/")
    if rest.startswith("Microsoft.Authorization/roleAssignments/"):
        return f"role on {resource_ids.format_id(owner)}"
    if rest.startswith("Microsoft.Insights/diagnosticSettings/"):
        return f"diagnostics of {resource_ids.format_id(owner)}"
    return resource_ids.format_id(id)


def _differences(delta: list[Mapping[str, Any]], prefix: str = "") -> Iterator[str]:
    for change in delta:
        path = f"{prefix}{change['path']}"
        if change.get("children"):
            yield from _differences(change["children"], f"{path}.")
        elif change.get("propertyChangeType") != "NoEffect":
            yield (
                f"{path}: {_shorten_value(change.get('before'))} → "
                f"{_shorten_value(change.get('after'))}"
            )


def _shorten_value(value: Any) -> str:
    text = "-" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[: MAX_VALUE_LENGTH - 1]}…"
