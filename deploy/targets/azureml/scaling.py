"""Autoscale rules of Azure Monitor for a deployment's instances.

Sources: "Autoscale online endpoints" (Azure Machine Learning), "Autoscale Settings" (REST API of
Azure Monitor).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.model import Spec
from deploy.targets.azureml.settings import Autoscale, settings_of
from deploy.targets.azureml.state import Endpoint, Version

API = "2022-10-01"
PROFILE = "by flow-deploy"
NAMESPACE = "microsoft.machinelearningservices/workspaces/onlineendpoints"


def name_of(endpoint: str, deployment: str) -> str:
    """Return the name of a deployment's rule."""
    return f"{endpoint}-{deployment}"


def path_of(group: str, endpoint: str, deployment: str) -> str:
    """Return the resource id of a deployment's rule in the resource group `group`."""
    return f"{group}/providers/microsoft.insights/autoscalesettings/{name_of(endpoint, deployment)}"


def step(
    spec: Spec,
    found: Mapping[str, Any] | None,
    chosen: Version | None,
    location: str,
    endpoint: Endpoint | None,
) -> str:
    """Return what to do with the rule: create, change, remove, keep, or nothing."""
    autoscale = settings_of(spec).autoscale
    if autoscale is None:
        return "remove" if found else ""
    if chosen is None or found is None:
        return "create"
    path = chosen.id.rpartition("/deployments/")[0]
    same = profiles(found) == profiles(document(autoscale, chosen.id, path, location))
    return "keep" if same else "change"


def document(autoscale: Autoscale, deployment: str, endpoint: str, location: str) -> dict[str, Any]:
    """Return the rule for the deployment with the resource id `deployment`."""
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
                    "name": PROFILE,
                    "capacity": {
                        "minimum": str(autoscale.min),
                        "maximum": str(autoscale.max),
                        "default": str(autoscale.min),
                    },
                    "rules": [
                        _rule(trigger, "GreaterThan", high, "Increase", "PT5M"),
                        # Slower down than up: a rule that swings costs requests.
                        _rule(trigger, "LessThan", low, "Decrease", "PT15M"),
                    ],
                }
            ],
        },
    }


def profiles(data: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what counts of a rule: limits, thresholds, directions."""
    return tuple(
        (
            tuple(sorted((key, str(value)) for key, value in (one.get("capacity") or {}).items())),
            tuple(
                (
                    rule["metricTrigger"]["metricName"],
                    rule["metricTrigger"]["operator"],
                    float(rule["metricTrigger"]["threshold"]),
                    rule["scaleAction"]["direction"],
                )
                for rule in one.get("rules") or ()
            ),
        )
        for one in data["properties"].get("profiles") or ()
    )


def _rule(
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
