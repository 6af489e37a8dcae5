"""A stand-in for the Azure CLI: it writes down how it was called, and prints what is recorded here.

Documented: "az deployment sub", "az group"; Bicep what-if, result of `--no-pretty-print`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

GROUP = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg-flows-prod"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/crflows"
WHAT_IF: dict[str, Any] = {
    "status": "Succeeded",
    "error": None,
    "changes": [
        {
            "changeType": "NoChange",
            "resourceId": GROUP,
            "before": {},
            "after": {},
            "delta": None,
        },
        {
            "changeType": "Create",
            "resourceId": f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-flows",
            "after": {"name": "kv-flows"},
            "delta": None,
        },
        {
            "changeType": "Modify",
            "resourceId": REGISTRY,
            "delta": [
                {
                    "path": "properties",
                    "propertyChangeType": "Modify",
                    "children": [
                        {
                            "path": "adminUserEnabled",
                            "propertyChangeType": "Modify",
                            "before": True,
                            "after": False,
                            "children": None,
                        },
                        {
                            "path": "policies",
                            "propertyChangeType": "NoEffect",
                            "before": None,
                            "after": {},
                            "children": None,
                        },
                    ],
                },
                {
                    "path": "tags.owner",
                    "propertyChangeType": "Create",
                    "before": None,
                    "after": "a team with a very long name that nobody can remember",
                    "children": None,
                },
            ],
        },
        {
            "changeType": "Delete",
            "resourceId": f"{REGISTRY}/providers/Microsoft.Authorization/roleAssignments/0b6f",
            "delta": None,
        },
        {
            "changeType": "Ignore",
            "resourceId": f"{GROUP}/providers/Microsoft.Web/sites/someone-elses",
            "delta": None,
        },
    ],
}
OUTPUTS = {
    "subscription": {"type": "String", "value": "11111111-1111-1111-1111-111111111111"},
    "resource_group": {"type": "String", "value": "rg-flows-prod"},
    "registry": {"type": "String", "value": "crflowsprod.azurecr.io"},
    "app": {"type": "String", "value": "app-{flow}-prod"},
    "key_vault": {"type": "String", "value": "https://kv-flows-prod.vault.azure.net"},
}
ANSWERS: dict[str, Any] = {
    "deployment sub what-if": WHAT_IF,
    "deployment sub create": {"properties": {"outputs": OUTPUTS}},
    "deployment sub show": OUTPUTS,
    "group show": {"name": "rg-flows-prod", "tags": {"flow-deploy.environment": "prod"}},
    "group delete": None,
}


def install(
    folder: Path,
    answers: dict[str, Any] | None = None,
    complaint: str = "",
    warning: str = "",
) -> Path:
    """Put a program `az` into `folder`; return the file in which it writes down its arguments."""
    folder.mkdir()
    seen, known = folder / "seen.jsonl", folder / "answers.json"
    known.write_text(json.dumps({**ANSWERS, **(answers or {})}), "utf-8")
    program = folder / "az"
    program.write_text(
        f"""#!{sys.executable} -S
import json, sys
given = sys.argv[1:]
with open({str(seen)!r}, "a") as file:
    file.write(json.dumps(given) + "\\n")
if {complaint!r}:
    sys.exit({complaint!r})
print({warning!r}, file=sys.stderr)
answers = json.load(open({str(known)!r}))
verb = next(key for key in answers if given[: len(key.split())] == key.split())
print(json.dumps(answers[verb]) if answers[verb] is not None else "")
""",
        "utf-8",
    )
    program.chmod(0o755)
    return seen


def calls(seen: Path) -> list[list[str]]:
    """Return how `az` was called, in order."""
    return (
        [json.loads(line) for line in seen.read_text("utf-8").splitlines()] if seen.exists() else []
    )
