"""The bodies of requests about container apps: their fields, and how a change is merged.

Documented: REST API of Container Apps (2024-03-01), "Patches a Container App using JSON Merge
Patch"; "Containers in Azure Container Apps" (processors and memory of the Consumption plan),
"Revisions" (names).
"""

from __future__ import annotations

import re
from typing import Any

from deploy.sandbox.arm_errors import ArmError
from deploy.sandbox.request_bodies import InvalidBodyError, reject_unknown_fields

BODY = {"identity", "location", "properties", "tags"}
PROPERTIES = {"configuration", "environmentId", "template", "workloadProfileName"}
CONFIGURATION = {"activeRevisionsMode", "ingress", "maxInactiveRevisions", "registries", "secrets"}
INGRESS = {"allowInsecure", "external", "targetPort", "traffic", "transport"}
TEMPLATE = {"containers", "revisionSuffix", "scale", "terminationGracePeriodSeconds"}
CONTAINER = {"env", "image", "name", "probes", "resources"}
SECRET = {"identity", "keyVaultUrl", "name"}
RULE = {"latestRevision", "revisionName", "weight"}
VARIABLE = {"name", "secretRef", "value"}
SIZES = {(step / 4, f"{step / 2:g}Gi") for step in range(1, 17)}
NAME = re.compile(r"(?=.{2,32}$)[a-z](-?[a-z0-9])+")
REVISION = re.compile(r"(?=.{2,64}$)[a-z](-{0,2}[a-z0-9])+")
SECRET_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def merge_patch(before: Any, change: Any) -> Any:
    """Return `before` with a JSON Merge Patch applied (RFC 7396)."""
    if not isinstance(change, dict):
        return change
    merged = dict(before) if isinstance(before, dict) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def check_app(body: dict[str, Any]) -> None:
    """Raise `InvalidBodyError` for a body that no client should send."""
    reject_unknown_fields(body, BODY, "a container app")
    properties = body.get("properties") or {}
    reject_unknown_fields(properties, PROPERTIES, "properties")
    configuration = properties.get("configuration") or {}
    reject_unknown_fields(configuration, CONFIGURATION, "configuration")
    if configuration.get("activeRevisionsMode", "Multiple") != "Multiple":
        raise InvalidBodyError("a mode other than Multiple, which is not emulated")
    reject_unknown_fields(configuration.get("ingress") or {}, INGRESS, "ingress")
    for rule in (configuration.get("ingress") or {}).get("traffic") or ():
        reject_unknown_fields(rule, RULE, "a traffic rule")
    for secret in configuration.get("secrets") or ():
        reject_unknown_fields(secret, SECRET, "a secret")
        if not SECRET_NAME.fullmatch(secret["name"]):
            raise InvalidBodyError(f"the secret {secret['name']}")
    template = properties.get("template") or {}
    reject_unknown_fields(template, TEMPLATE, "template")
    for container in template.get("containers") or ():
        reject_unknown_fields(container, CONTAINER, "a container")
        size = container.get("resources") or {}
        if (size.get("cpu"), size.get("memory")) not in SIZES:
            raise InvalidBodyError(f"a container with {size}")
        for variable in container.get("env") or ():
            reject_unknown_fields(variable, VARIABLE, "a variable")


def check_traffic(rules: list[dict[str, Any]], revisions: set[str]) -> None:
    """Raise `ArmError` for invalid traffic rules. Assumed: their code and text."""
    if sum(rule["weight"] for rule in rules) != 100:
        text = "The traffic weights of all revisions must add up to 100."
        raise ArmError(400, "InvalidTrafficWeights", text)
    for rule in rules:
        if not rule.get("latestRevision") and rule.get("revisionName") not in revisions:
            text = f"The revision '{rule.get('revisionName')}' of a traffic rule was not found."
            raise ArmError(400, "RevisionNotFound", text)
