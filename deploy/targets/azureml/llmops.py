"""Managed online endpoints of the LLMOps template, converted to settings of this target."""

from __future__ import annotations

import re
from collections.abc import Mapping

from deploy.config.endpoint_import import EndpointImport, ImportedSettings, ImportNote
from deploy.targets.azureml.settings import NAME_PATTERN
from deploy.targets.azureml.vm_sizes import retirement_date

NAME_KEY, SIZE_KEY, COUNT_KEY = "ENDPOINT_NAME", "DEPLOYMENT_VM_SIZE", "DEPLOYMENT_INSTANCE_COUNT"
TRAFFIC_KEY = "CURRENT_DEPLOYMENT_TRAFFIC_ALLOCATION"


def _convert(texts: Mapping[str, str]) -> ImportedSettings:
    imported = ImportedSettings()
    imported.add_name(texts, NAME_KEY, "endpoint", NAME_PATTERN)
    size = texts[SIZE_KEY]
    day = retirement_date(size)
    if day or (size and not re.fullmatch(r"Standard_\w+", size)):
        what = f"Azure retires this size on {day}" if day else "Azure has no such size"
        then = "the default is used; or write instance_type (docs/targets/azureml.md)"
        imported.notes.append(ImportNote(SIZE_KEY, what, then))
    elif size:
        imported.settings["instance_type"] = size
    count = imported.read_number(texts, COUNT_KEY)
    if count is not None and 1 <= count <= 50:
        imported.settings["instance_count"] = count
    percent = imported.read_number(texts, TRAFFIC_KEY)
    if percent is not None and 0 < percent < 100:
        # There is no permanent traffic split here: a rollout continues to 100 percent.
        imported.settings["rollout"] = [percent, 100]
        what = f"{percent} percent is the first step of a rollout that ends at 100"
        then = "see `rollout` and `soak` (docs/targets/azureml.md)"
        imported.notes.append(ImportNote(TRAFFIC_KEY, what, then, is_assumption=True))
    return imported


ENDPOINT_IMPORT = EndpointImport(
    endpoint="azure_managed_endpoint",
    identifying_key=NAME_KEY,
    keys=(NAME_KEY, SIZE_KEY, COUNT_KEY, TRAFFIC_KEY),
    place={"workspace": "${{{prefix}_WORKSPACE}}"},
    convert=_convert,
)
