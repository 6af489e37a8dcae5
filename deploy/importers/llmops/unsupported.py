"""Keys of the template without a counterpart here: the reason, and what to do."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from deploy.importers.llmops.entities import Note
from deploy.importers.llmops.source import Source

# Descriptions, and names that only the template's scripts need.
_IGNORED_KEYS = {
    "AZURE_RM_SVC_CONNECTION",
    "DEPLOYMENT_DESC",
    "ENDPOINT_DESC",
    "ENV_NAME",
    "connection",
    "env_name",
    "name",
}
NO_ACTION = "nothing to do"
_RUNS = ("runs use the flow's locked packages, and no Azure compute", NO_ACTION)
_NAMES = (
    "a deployment is named after the image's content",
    "nothing to do; the old deployment remains until you remove it",
)
_PLAN = (
    "a deploy does not create an App Service plan",
    "`infra: {plan: …}` in environments.yaml (docs/infrastructure.md)",
)
_IMAGE = (
    "`inv build` creates images",
    "packages go into requirements.txt; `image:` in deploy.yaml (docs/configuration.md)",
)
_IDENTITY = (
    "an identity is configured by its full resource id",
    "`identity:` in environments.yaml (docs/targets)",
)
_MODEL = ("no model is registered: the image is deployed", NO_ACTION)
_IN_FLOW = ("the flow's files contain it", NO_ACTION)
_VAULT = (
    "a deploy reads only the secrets that deploy.yaml names",
    "name its secrets under env.secret_refs in deploy.yaml (docs/targets)",
)
_REASONS = {
    "RUNTIME_NAME": _RUNS,
    "runtime": _RUNS,
    "compute_target": _RUNS,
    "COMPUTE_TARGET": _RUNS,
    "KEYVAULT_NAME": _VAULT,
    "keyvault_name": _VAULT,
    "EXPERIMENT_BASE_NAME": _MODEL,
    "MODEL_BASE_NAME": _MODEL,
    "CONNECTION_NAME": _IN_FLOW,
    "DEPLOYMENT_NAME": _IN_FLOW,
    "CURRENT_DEPLOYMENT_NAME": _NAMES,
    "PRIOR_DEPLOYMENT_NAME": _NAMES,
    "PRIOR_DEPLOYMENT_TRAFFIC_ALLOCATION": _NAMES,
    "APP_PLAN_NAME": _PLAN,
    "WEB_APP_SKU": _PLAN,
    "REGISTRY_RG_NAME": ("a registry is found by its name", NO_ACTION),
    "USER_MANAGED_ID": _IDENTITY,
    "DEPLOYMENT_CONDA_PATH": _IMAGE,
    "DEPLOYMENT_BASE_IMAGE_NAME": _IMAGE,
}
_UNKNOWN = (
    "there is no counterpart in this project",
    "check whether you need it (docs/configuration.md)",
)


def find_unsupported_keys(source: Source, used: Collection[str]) -> list[Note]:
    """Return notes for the keys of `source` that have a value and are not in `used`.

    Keys with the same reason share a note. No value is quoted, because it could be a secret.
    """
    keys_by_reason: dict[tuple[str, str], list[str]] = {}
    for key in source.value:
        if key not in used and key not in _IGNORED_KEYS and source.has(key):
            keys_by_reason.setdefault(_REASONS.get(key, _UNKNOWN), []).append(key)
    return [
        Note(source.where(first), f"{_format_others(others)}{what}", then)
        for (what, then), (first, *others) in keys_by_reason.items()
    ]


def _format_others(others: Sequence[str]) -> str:
    return f"(and {', '.join(others)}) " if others else ""
