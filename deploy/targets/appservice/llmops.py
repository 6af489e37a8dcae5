"""Web apps of the LLMOps template, converted to settings of this target."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.config.endpoint_import import EndpointImport, ImportedSettings, ImportNote
from deploy.targets.appservice.settings import NAME_PATTERN

NAME_KEY, GROUP_KEY = "WEB_APP_NAME", "WEB_APP_RG_NAME"


def _convert(texts: Mapping[str, str]) -> ImportedSettings:
    imported = ImportedSettings({"auth": "key"})
    what = "the template's web apps are public; `auth: key` is written"
    then = "choose key, entra or public (docs/targets/appservice.md)"
    imported.notes.append(ImportNote("", what, then, is_assumption=True))
    imported.add_name(texts, NAME_KEY, "app", NAME_PATTERN)
    return imported


ENDPOINT_IMPORT = EndpointImport(
    endpoint="webapp_endpoint",
    identifying_key=NAME_KEY,
    keys=(NAME_KEY, GROUP_KEY, "REGISTRY_NAME"),
    place={"key_vault": "https://${{{prefix}_KEY_VAULT}}.vault.azure.net"},
    convert=_convert,
    resource_group_key=GROUP_KEY,
)
