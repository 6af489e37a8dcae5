"""What `az deployment sub what-if` says, as rows for people.

Documented: "Bicep what-if", change types and the shape of `--no-pretty-print`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from deploy.infra import ids

ACTIONS = {
    "Create": "create",
    "Delete": "remove",
    "Modify": "change",
    "Deploy": "change",
    "NoChange": "keep",
    "Unsupported": "unknown",
}
# What stands there and is none of ours: nothing happens to it.
IGNORED = "Ignore"
QUIET = ("keep",)
LONGEST = 40


def rows_of(data: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what would be done, to what, and what differs; the most serious first."""
    rows = [
        {
            "action": ACTIONS.get(str(change["changeType"]), str(change["changeType"])),
            "what": _what(str(change["resourceId"])),
            "differs": "; ".join(_differences(change.get("delta") or [])),
        }
        for change in data.get("changes") or []
        if change["changeType"] != IGNORED
    ]
    order = ["remove", "change", "create", "unknown", "keep"]
    return sorted(rows, key=lambda row: (order.index(row["action"]), row["what"]))


def changes(rows: list[dict[str, str]]) -> bool:
    """Whether anything would be done."""
    return any(row["action"] not in QUIET for row in rows)


def _what(id: str) -> str:
    """Return a resource as people say it, and the one that it belongs to."""
    owner, _, rest = id.rpartition("/providers/")
    if rest.startswith("Microsoft.Authorization/roleAssignments/"):
        return f"role on {ids.shown(owner)}"
    if rest.startswith("Microsoft.Insights/diagnosticSettings/"):
        return f"diagnostics of {ids.shown(owner)}"
    return ids.shown(id)


def _differences(delta: list[Mapping[str, Any]], above: str = "") -> Iterator[str]:
    for one in delta:
        path = f"{above}{one['path']}"
        if one.get("children"):
            yield from _differences(one["children"], f"{path}.")
        elif one.get("propertyChangeType") != "NoEffect":
            yield f"{path}: {_short(one.get('before'))} → {_short(one.get('after'))}"


def _short(value: Any) -> str:
    text = "-" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
