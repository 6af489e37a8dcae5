"""The quotas that an environment needs in its region, checked before the first deploy."""

from __future__ import annotations

import re

from deploy.infra.desired import APPSERVICE, AZUREML, DesiredState, FlowPlacement
from deploy.infra.entities import Quota

# "Manage and increase quotas": an endpoint reserves an extra 20 % for upgrades of its machines.
CAPACITY_FACTOR_TENTHS = 12
VM_SIZE_PATTERN = re.compile(
    r"Standard_(?P<letters>[A-Z]+)(?P<cores>\d+)(?P<rest>[a-z]*)(?:_(?P<version>v\d+))?"
)


def list_quotas(desired: DesiredState) -> tuple[Quota, ...]:
    """Return the quotas that `desired` needs at peak size."""
    quotas: list[Quota] = []
    if AZUREML in desired.options:
        cores: dict[str, int] = {}
        reasons: dict[str, list[str]] = {}
        for placement in desired.list_placements(AZUREML):
            size = str(getattr(placement.settings, "instance_type", ""))
            family, cores_per_instance = parse_vm_size(size)
            instances, versions = _count_peak_instances(placement)
            needed = -(-instances * versions * CAPACITY_FACTOR_TENTHS // 10)
            cores[family] = cores.get(family, 0) + needed * cores_per_instance
            reasons.setdefault(family, []).append(
                f"{placement.flow.name}: {instances} × {size}, {versions} versions at once, "
                "times 1.2"
            )
        for family, amount in sorted(cores.items()):
            why = "; ".join(reasons[family])
            name = f"Azure Machine Learning: Standard {family} Family Cluster Dedicated vCPUs"
            quotas.append(Quota(name, amount, "cores", why))
    if APPSERVICE in desired.options:
        max_instances = desired.instance_range[1]
        why = "the most instances of the plan"
        quotas.append(
            Quota(
                f"App Service: {desired.infra.plan.sku} instances", max_instances, "instances", why
            )
        )
    for model in desired.infra.models:
        name = f"Azure OpenAI: {model.model}, {model.sku}"
        why = f"the capacity of the deployment {model.name}"
        quotas.append(Quota(name, model.capacity * 1000, "tokens a minute", why))
    return tuple(quotas)


def parse_vm_size(size: str) -> tuple[str, int]:
    """Return a VM size's family and number of cores: `DASv4`, 2 for `Standard_D2as_v4`."""
    match = VM_SIZE_PATTERN.fullmatch(size)
    if not match:
        return f"{size} (its family)", 1
    version = match["version"] or ""
    return f"{match['letters']}{match['rest'].upper()}{version}", int(match["cores"])


def _count_peak_instances(placement: FlowPlacement) -> tuple[int, int]:
    """Return the most instances of one version of a flow, and the most versions at the same time.

    During a rollout, the serving version and the previous versions that are kept still exist.
    """
    settings = placement.settings
    rule = getattr(settings, "autoscale", None)
    instances = rule.max if rule else int(getattr(settings, "instance_count", 1))
    return int(instances), 2 + int(getattr(settings, "keep_previous", 1))
