"""What the subscription must allow in the region, before the first deploy fails for want of it."""

from __future__ import annotations

import re

from deploy.infra.model import Quota
from deploy.infra.wanted import APPSERVICE, AZUREML, Use, Wanted

# "Manage and increase quotas": an endpoint sets a fifth aside for upgrades of its machines.
SPARE_TENTHS = 12
SIZE = re.compile(
    r"Standard_(?P<letters>[A-Z]+)(?P<cores>\d+)(?P<rest>[a-z]*)(?:_(?P<version>v\d+))?"
)


def quotas_of(wanted: Wanted) -> tuple[Quota, ...]:
    """Return the quotas that `wanted` needs at its largest."""
    found: list[Quota] = []
    if AZUREML in wanted.options:
        cores: dict[str, int] = {}
        reasons: dict[str, list[str]] = {}
        for use in wanted.on(AZUREML):
            size = str(getattr(use.settings, "instance_type", ""))
            family, each = family_of(size)
            instances, versions = _most(use)
            needed = -(-instances * versions * SPARE_TENTHS // 10)
            cores[family] = cores.get(family, 0) + needed * each
            reasons.setdefault(family, []).append(
                f"{use.flow.name}: {instances} × {size}, {versions} versions at once, times 1.2"
            )
        for family, amount in sorted(cores.items()):
            why = "; ".join(reasons[family])
            name = f"Azure Machine Learning: Standard {family} Family Cluster Dedicated vCPUs"
            found.append(Quota(name, amount, "cores", why))
    if APPSERVICE in wanted.options:
        most = wanted.instances[1]
        why = "the most instances of the plan"
        found.append(
            Quota(f"App Service: {wanted.infra.plan.sku} instances", most, "instances", why)
        )
    for model in wanted.infra.models:
        name = f"Azure OpenAI: {model.model}, {model.sku}"
        why = f"the capacity of the deployment {model.name}"
        found.append(Quota(name, model.capacity * 1000, "tokens a minute", why))
    return tuple(found)


def family_of(size: str) -> tuple[str, int]:
    """Return the family of a size of machine, and its cores: `Standard_D2as_v4` is of DASv4, 2."""
    match = SIZE.fullmatch(size)
    if not match:
        return f"{size} (its family)", 1
    version = match["version"] or ""
    return f"{match['letters']}{match['rest'].upper()}{version}", int(match["cores"])


def _most(use: Use) -> tuple[int, int]:
    """Return the most instances of one version of a flow, and how many versions there are at once.

    While a new version comes, the one that serves and those that are kept are still there.
    """
    settings = use.settings
    rule = getattr(settings, "autoscale", None)
    instances = rule.max if rule else int(getattr(settings, "instance_count", 1))
    return int(instances), 2 + int(getattr(settings, "keep_previous", 1))
