"""Where each value of a spec came from, and the whole of it for people and programs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from deploy.documents import Document, KeyPath, show
from deploy.model import Spec

REDACTED = "***"
NOT_SET = "(not set)"


def describe(spec: Spec) -> dict[str, Any]:
    """Return the complete spec as data, secrets redacted, each value with its origin."""
    flow = spec.flow
    values: dict[str, Any] = {
        "flow": flow.name,
        "environment": spec.environment,
        "target": spec.target,
        "kind": flow.kind,
        "entry": flow.entry,
        "sample": show(flow.sample),
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
        judged = {**flow.evaluation.model_dump(), "flows": list(flow.evaluation.flows)}
        values |= {f"evaluation.{k}": v for k, v in judged.items()}
    values |= {f"place.{k}": v for k, v in spec.place.model_dump(exclude={"infra"}).items()}
    own = spec.settings.model_dump(exclude={"target", "env"})
    values |= {f"settings.{k}": v for k, v in own.items()}
    values |= {
        f"variables.{k}": REDACTED if k in spec.secrets else v for k, v in spec.variables.items()
    }
    references = getattr(spec.settings.env, "secret_refs", {})
    values |= {f"variables.{name}": text for name, text in references.items()}
    values |= {f"variables.{name}": NOT_SET for name in spec.missing}
    return {
        key: {"value": value, "from": spec.origins.get(key, "default")}
        for key, value in values.items()
    }


def origins(
    deploy: Document,
    environments: Document,
    environment: str,
    variables: Mapping[str, str],
    given_base: bool,
) -> dict[str, str]:
    """Return for each key of `describe` that is not a default: file and line, or which variables.

    `deploy` is the flow's deploy.yaml; `given_base` tells that FLOW_BASE_IMAGE names the base.
    """
    data = deploy.data
    chosen = data["environments"][environment]
    at: KeyPath = ("environments", environment)
    folder = show(deploy.path.parent)
    found = {"flow": folder, "kind": folder, "entry": folder, "environment": "--env"}
    for key in ("sample", "expect", "connections", "init"):
        if key in data:
            found[key] = _place(deploy, (key,))
    if given_base:
        found["image.base"] = "variable FLOW_BASE_IMAGE"
    for block in ("image", "pictures"):
        for key in data.get(block, {}):
            found[f"{block}.{key}"] = _place(deploy, (block, key))
    for key in data.get("evaluation") or {}:
        found[f"evaluation.{key}"] = _place(deploy, ("evaluation", key))
    for key in chosen:
        found["target" if key == "target" else f"settings.{key}"] = _place(deploy, (*at, key))
    for key in environments.data[environment] or {}:
        found[f"place.{key}"] = _place(environments, (environment, key))
    written = chosen.get("env", {}).get("clear", {})
    for name in variables:
        source = "environment" if name in os.environ else ".env"
        line = _place(deploy, (*at, "env", "clear", name))
        found[f"variables.{name}"] = line if name in written else source
    for kind in ("secret", "secret_refs"):
        for name in chosen.get("env", {}).get(kind, ()):
            found.setdefault(f"variables.{name}", _place(deploy, (*at, "env", kind)))
    return found


def _place(document: Document, keys: KeyPath) -> str:
    return f"{show(document.path)}:{document.line(keys)}"
