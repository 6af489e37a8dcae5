"""The bodies of requests about endpoints and deployments: their fields, names and numbers.

Documented: REST API of Azure Machine Learning (2023-04-01-preview), CLI (v2) YAML schemas of
managed online endpoints and deployments (names, defaults, limits), "Perform safe rollout of new
deployments" (mirrored traffic).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deploy.sandbox.azureml.errors import bad_request
from deploy.sandbox.request_bodies import InvalidBodyError, load_fields, reject_unknown_fields

FIELDS = load_fields(__file__)
PROBE_DEFAULTS = {
    "failureThreshold": 30,
    "successThreshold": 1,
    "timeout": "PT2S",
    "period": "PT10S",
    "initialDelay": "PT10S",
}
REQUEST_DEFAULTS = {
    "maxQueueWait": "PT0S",
    "requestTimeout": "PT5S",
    "maxConcurrentRequestsPerInstance": 1,
}
AUTH_MODES = ("Key", "AMLToken", "AADToken")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]")
DURATION = re.compile(r"PT(?:(?P<h>[\d.]+)H)?(?:(?P<m>[\d.]+)M)?(?:(?P<s>[\d.]+)S)?")
MOST_SECONDS = 180
MOST_MIRRORED = 50


def read_capacity(body: Mapping[str, Any], default: int) -> int:
    """Return the number of instances in a body, or `default`. Raise `InvalidBodyError`."""
    sku = body.get("sku") or {}
    reject_unknown_fields(sku, FIELDS["sku"], "a sku")
    capacity = sku.get("capacity")
    if capacity is not None and not isinstance(capacity, int):
        raise InvalidBodyError(f"the capacity {capacity}")
    return default if capacity is None else capacity


def check_name(name: str, what: str) -> None:
    """Raise `ArmError` for a name that is not allowed; `what` is the kind of resource."""
    if not NAME.fullmatch(name):
        raise bad_request(
            f"The name '{name}' of {what} must have 3 to 32 characters, letters, digits and '-', "
            "and begin with a letter."
        )


def check_traffic(traffic: Mapping[str, int], mirror: Mapping[str, int], known: set[str]) -> None:
    """Raise `ArmError` if shares do not add up or name deployments that are not in `known`."""
    for name, share in [*traffic.items(), *mirror.items()]:
        if name not in known:
            raise bad_request(f"The deployment '{name}' that has traffic does not exist.")
        if not isinstance(share, int) or not 0 <= share <= 100:
            raise bad_request(f"The traffic of '{name}' must be from 0 to 100.")
    if sum(traffic.values()) not in (0, 100):
        raise bad_request(f"Traffic must sum to 0 or 100, not to {sum(traffic.values())}.")
    mirrored = [name for name, share in mirror.items() if share]
    if len(mirrored) > 1 or sum(mirror.values()) > MOST_MIRRORED:
        raise bad_request("Mirror traffic goes to one deployment, and is 50 percent at most.")
    if any(traffic.get(name) for name in mirrored):
        raise bad_request("A deployment has either live traffic or mirror traffic.")


def check_deployment(properties: Mapping[str, Any]) -> None:
    """Raise `InvalidBodyError` or `ArmError` for properties that are unknown or not allowed."""
    reject_unknown_fields(properties, FIELDS["deployment_properties"], "a deployment")
    if properties.get("endpointComputeType") != "Managed":
        raise InvalidBodyError(f"endpointComputeType {properties.get('endpointComputeType')}")
    for name in ("livenessProbe", "readinessProbe"):
        probe = properties.get(name) or {}
        reject_unknown_fields(probe, FIELDS["probe"], name)
        for key, value in probe.items():
            if key.endswith("Threshold") and (not isinstance(value, int) or value < 1):
                raise bad_request(f"{name}.{key} must be 1 or more.")
            if key in ("period", "timeout") and parse_duration(value) < 1:
                raise bad_request(f"{name}.{key} must be 1 second or more.")
    request = properties.get("requestSettings") or {}
    reject_unknown_fields(request, FIELDS["request_settings"], "requestSettings")
    if parse_duration(request.get("requestTimeout") or "PT5S") > MOST_SECONDS:
        raise bad_request(f"The request timeout must be {MOST_SECONDS} seconds at most.")
    if (request.get("maxConcurrentRequestsPerInstance") or 1) < 1:
        raise bad_request("maxConcurrentRequestsPerInstance must be 1 or more.")
    variables = properties.get("environmentVariables") or {}
    if not all(isinstance(value, str) for value in variables.values()):
        raise InvalidBodyError("an environment variable that is no string")


def add_defaults(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deployment's properties completed with the service's defaults."""
    given_properties = {key: value for key, value in properties.items() if value is not None}
    for name, defaults in (
        ("livenessProbe", PROBE_DEFAULTS),
        ("readinessProbe", PROBE_DEFAULTS),
        ("requestSettings", REQUEST_DEFAULTS),
    ):
        given_properties[name] = {**defaults, **(given_properties.get(name) or {})}
    return {
        "description": None,
        "codeConfiguration": None,
        "environmentVariables": {},
        "modelMountPath": None,
        "model": None,
        "appInsightsEnabled": False,
        "privateNetworkConnection": False,
        "egressPublicNetworkAccess": "Enabled",
        **given_properties,
        "scaleSettings": given_properties.get("scaleSettings") or {"scaleType": "Default"},
    }


def parse_duration(duration: str) -> float:
    """Return the seconds of an ISO 8601 duration. Raise `InvalidBodyError`."""
    match = DURATION.fullmatch(str(duration))
    if not match or duration == "PT":
        raise InvalidBodyError(f"the duration {duration}")
    parts = {key: float(value or 0) for key, value in match.groupdict().items()}
    return parts["h"] * 3600 + parts["m"] * 60 + parts["s"]
