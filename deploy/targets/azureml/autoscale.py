"""Autoscale rules of Azure Monitor for the instances of a deployment.

Sources: "Autoscale online endpoints" (Azure Machine Learning), "Autoscale Settings" (REST API of
Azure Monitor).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.targets.azureml.settings import Autoscale, EndpointSpec
from deploy.targets.azureml.state import Endpoint, Version

API = "2022-10-01"
PROFILE_NAME = "by flow-deploy"
NAMESPACE = "microsoft.machinelearningservices/workspaces/onlineendpoints"


def rule_name(endpoint: str, deployment: str) -> str:
    """Return the name of a deployment's autoscale rule."""
    return f"{endpoint}-{deployment}"


def rule_id(group: str, endpoint: str, deployment: str) -> str:
    """Return the resource ID of a deployment's autoscale rule in the resource group `group`."""
    return (
        f"{group}/providers/microsoft.insights/autoscalesettings/{rule_name(endpoint, deployment)}"
    )


def choose_action(
    spec: EndpointSpec,
    existing_rule: Mapping[str, Any] | None,
    version: Version | None,
    location: str,
    endpoint: Endpoint | None,
) -> str:
    """Return the action for the rule: create, change, remove, keep, or empty for none."""
    autoscale = spec.settings.autoscale
    if autoscale is None:
        return "remove" if existing_rule else ""
    if version is None or existing_rule is None:
        return "create"
    endpoint_id = version.id.rpartition("/deployments/")[0]
    is_equal = normalize_profiles(existing_rule) == normalize_profiles(
        build_rule(autoscale, version.id, endpoint_id, location)
    )
    return "keep" if is_equal else "change"


def build_rule(
    autoscale: Autoscale, deployment: str, endpoint: str, location: str
) -> dict[str, Any]:
    """Return the autoscale rule; `deployment` and `endpoint` are resource IDs."""
    if autoscale.cpu is not None:
        trigger: dict[str, Any] = {
            "metricName": "CpuUtilizationPercentage",
            "metricNamespace": f"{NAMESPACE}/deployments",
            "metricResourceUri": deployment,
        }
        high, low = float(autoscale.cpu), float(autoscale.cpu // 2)
    else:
        trigger = {
            "metricName": "RequestsPerMinute",
            "metricNamespace": NAMESPACE,
            "metricResourceUri": endpoint,
            "dividePerInstance": True,
            "dimensions": [
                {
                    "DimensionName": "deployment",
                    "Operator": "Equals",
                    "Values": [deployment.rpartition("/")[2]],
                }
            ],
        }
        high, low = float(autoscale.requests or 0), float((autoscale.requests or 0) // 2)
    return {
        "location": location,
        "properties": {
            "enabled": True,
            "targetResourceUri": deployment,
            "profiles": [
                {
                    "name": PROFILE_NAME,
                    "capacity": {
                        "minimum": str(autoscale.min),
                        "maximum": str(autoscale.max),
                        "default": str(autoscale.min),
                    },
                    "rules": [
                        _build_scale_rule(trigger, "GreaterThan", high, "Increase", "PT5M"),
                        # Scale in more slowly than out: oscillation costs requests.
                        _build_scale_rule(trigger, "LessThan", low, "Decrease", "PT15M"),
                    ],
                }
            ],
        },
    }


def normalize_profiles(data: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the parts of a rule to compare: limits, thresholds, directions."""
    return tuple(
        (
            tuple(
                sorted((key, str(value)) for key, value in (profile.get("capacity") or {}).items())
            ),
            tuple(
                (
                    rule["metricTrigger"]["metricName"],
                    rule["metricTrigger"]["operator"],
                    float(rule["metricTrigger"]["threshold"]),
                    rule["scaleAction"]["direction"],
                )
                for rule in profile.get("rules") or ()
            ),
        )
        for profile in data["properties"].get("profiles") or ()
    )


def _build_scale_rule(
    trigger: Mapping[str, Any], operator: str, threshold: float, direction: str, cooldown: str
) -> dict[str, Any]:
    return {
        "metricTrigger": {
            **trigger,
            "timeGrain": "PT1M",
            "statistic": "Average",
            "timeWindow": "PT5M",
            "timeAggregation": "Average",
            "operator": operator,
            "threshold": threshold,
        },
        "scaleAction": {
            "direction": direction,
            "type": "ChangeCount",
            "value": "1",
            "cooldown": cooldown,
        },
    }
