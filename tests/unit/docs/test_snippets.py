"""YAML on the pages is valid configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from deploy.config import cases, json_schema, target_registry
from deploy.config.deploy_file import DeployFile
from tests import markdown_pages
from tests.documented import ROOT, pages

SCHEMAS = json_schema.build_schemas(target_registry.built_in_targets())
DEPLOY, ENVIRONMENTS, CASES = (
    SCHEMAS[f"docs/schema/{name}.json"] for name in ("deploy", "environments", "cases")
)
# Its keys are those of the extension, which need not be installed.
EXTENSION = "examples/"


def snippets() -> Iterator[tuple[str, str]]:
    """Yield each block of YAML, with its place."""
    for path in pages():
        name = path.relative_to(ROOT).as_posix()
        for block in markdown_pages.find_blocks(path.read_text("utf-8")):
            if block.language in ("yaml", "yml") and not name.startswith(EXTENSION):
                yield f"{name}:{block.line}", block.text


def read(text: str) -> Any:
    """Return a snippet's data, with a value in place of each variable and of what is left out."""
    return YAML(typ="safe").load(re.sub(r"\$\{\w+\}|…", "x", text))


def checked(text: str) -> tuple[Any, Any] | None:
    """Return the schema for a snippet, and its data as a whole file; None for what is neither file.

    That is a part from deep within, a workflow of CI, or a target that is made up.
    """
    data = read(text)
    if not isinstance(data, dict):
        return None
    if cases.CASES_FILE in text:
        return CASES, data
    if "environments" in data or set(data) <= set(DeployFile.model_fields):
        declared = {"environments": {"local": {"target": "local"}}, **data}
        used = {env.get("target") for env in declared["environments"].values()}
        return (DEPLOY, declared) if used <= set(target_registry.built_in_targets()) else None
    if "environments.yaml" in text or any(_place(value) for value in data.values()):
        return ENVIRONMENTS, data
    return None


def _place(value: Any) -> bool:
    return isinstance(value, dict) and bool({"registry", "subscription", "infra"} & set(value))


FOUND = list(snippets())


def test_most_snippets_are_known() -> None:
    assert len([where for where, text in FOUND if checked(text)]) > 8


@pytest.mark.parametrize(("where", "text"), FOUND, ids=[where for where, _ in FOUND])
def test_snippet_is_valid(where: str, text: str) -> None:
    found = checked(text)
    if found:
        schema, data = found
        jsonschema.validate(data, schema)


@pytest.mark.parametrize(
    "wrong",
    [
        "environments:\n  local: {target: local, ports: 1}\n",
        "allow_secrets: [{file: a}]\n",
        "dev: {registry: '${CR}.azurecr.io', work_space: mlw}\n",
        "# environments.yaml\ndev: {locations: a}\n",
        "# flows/faq/tests/cases.yaml\na: {input: {}}\n",
    ],
)
def test_a_wrong_snippet_would_be_found(wrong: str) -> None:
    found = checked(wrong)
    assert found
    schema, data = found
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema)
