"""The origin of each value of a spec, and the complete spec for people and programs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from deploy.config.target import AnySpec
from deploy.core.yaml_files import Document, KeyPath, display_path

REDACTED = "***"
NOT_SET = "(not set)"


def describe_spec(spec: AnySpec) -> dict[str, Any]:
    """Return the complete spec as data, secrets redacted, each value with its origin."""
    flow = spec.flow
    values: dict[str, Any] = {
        "flow": flow.name,
        "environment": spec.environment,
        "target": spec.target,
        "kind": flow.kind,
        "entry": flow.entry,
        "sample": display_path(flow.sample),
        "expect": flow.expect,
        "connections": flow.connections,
        "init": flow.init,
        "pictures.urls": list(flow.pictures.urls),
        "pictures.private": flow.pictures.private,
        "image.python": flow.image.python,
        "image.platform": flow.image.platform,
        "image.base": flow.image.base,
        "image.system_packages": list(flow.image.system_packages),
    }
    if flow.evaluation:
        evaluation = {**vars(flow.evaluation), "flows": list(flow.evaluation.flows)}
        values |= {f"evaluation.{k}": v for k, v in evaluation.items()}
    values |= {f"place.{k}": v for k, v in spec.place.model_dump(exclude={"infra"}).items()}
    settings = spec.settings.model_dump(exclude={"target", "env"})
    values |= {f"settings.{k}": v for k, v in settings.items()}
    values |= {
        f"variables.{k}": REDACTED if k in spec.secrets else v for k, v in spec.variables.items()
    }
    references = getattr(spec.settings.env, "secret_refs", {})
    values |= {f"variables.{name}": reference for name, reference in references.items()}
    values |= {f"variables.{name}": NOT_SET for name in spec.missing}
    return {
        key: {"value": value, "from": spec.origins.get(key, "default")}
        for key, value in values.items()
    }


def find_origins(
    deploy: Document,
    environments: Document,
    environment: str,
    variables: Mapping[str, str],
    given_base: bool,
) -> dict[str, str]:
    """Return the origin of each key of `describe_spec` that is not a default.

    An origin is a file and line, or a variable. `deploy` is the flow's deploy.yaml; `given_base` is
    whether FLOW_BASE_IMAGE names the base image.
    """
    data = deploy.data
    environment_data = data["environments"][environment]
    at: KeyPath = ("environments", environment)
    folder = display_path(deploy.path.parent)
    origins = {"flow": folder, "kind": folder, "entry": folder, "environment": "--env"}
    for key in ("sample", "expect", "connections", "init"):
        if key in data:
            origins[key] = _location(deploy, (key,))
    if given_base:
        origins["image.base"] = "variable FLOW_BASE_IMAGE"
    for block in ("image", "pictures"):
        for key in data.get(block, {}):
            origins[f"{block}.{key}"] = _location(deploy, (block, key))
    for key in data.get("evaluation") or {}:
        origins[f"evaluation.{key}"] = _location(deploy, ("evaluation", key))
    for key in environment_data:
        origins["target" if key == "target" else f"settings.{key}"] = _location(deploy, (*at, key))
    for key in environments.data[environment] or {}:
        origins[f"place.{key}"] = _location(environments, (environment, key))
    clear_variables = environment_data.get("env", {}).get("clear", {})
    for name in variables:
        source = "environment" if name in os.environ else ".env"
        line = _location(deploy, (*at, "env", "clear", name))
        origins[f"variables.{name}"] = line if name in clear_variables else source
    for kind in ("secret", "secret_refs"):
        for name in environment_data.get("env", {}).get(kind, ()):
            origins.setdefault(f"variables.{name}", _location(deploy, (*at, "env", kind)))
    return origins


def _location(document: Document, keys: KeyPath) -> str:
    return f"{display_path(document.path)}:{document.line(keys)}"
