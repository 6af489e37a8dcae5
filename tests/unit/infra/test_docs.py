"""The pages about infrastructure: their pictures are those of the Bicep files, no key is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.config.schema import InfraModel
from deploy.infra import naming, resource_types
from deploy.infra.requirements import collect_requirements
from tests.bicep import diagram

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("option", diagram.PAGES)
def test_pictures_are_up_to_date(option: str) -> None:
    path = diagram.PAGES[option]
    assert path.read_text("utf-8") == diagram.page(path, option), "python -m tests.bicep.diagram"


@pytest.mark.parametrize("option", diagram.PAGES)
def test_pictures_show_what_there_is(option: str) -> None:
    text = diagram.PAGES[option].read_text("utf-8")
    needs = collect_requirements(diagram.environment(option))
    hidden = {resource_types.GROUP, *resource_types.SITE_PARTS}
    for resource in needs.resources:
        if resource.kind not in hidden:
            assert f'<br/>{resource.name}"]' in text
    for assignment in needs.assignments:
        if not assignment.scope.endswith(f"/{needs.desired.names.group}"):
            assert assignment.role in text


@pytest.mark.parametrize("option", diagram.PAGES)
def test_pages_tell_what_drives_the_cost(option: str) -> None:
    text = diagram.PAGES[option].read_text("utf-8")
    for kind in {one.kind for one in collect_requirements(diagram.environment(option)).resources}:
        if kind in resource_types.COST_DRIVERS:
            assert f"| {kind} | {resource_types.COST_DRIVERS[kind]} |" in text


def test_every_key_is_told_of() -> None:
    text = (DOCS / "infrastructure.md").read_text("utf-8")
    for key in InfraModel.model_fields:
        assert re.search(rf"^\| `{key}` \|", text, re.MULTILINE), key
    for field in naming.ResourceNames.__dataclass_fields__:
        assert f"`{field}`" in text, field
    for tag in (
        naming.WORKLOAD_TAG,
        naming.ENVIRONMENT_TAG,
        naming.FLOW_TAG,
        naming.OWNER_TAG,
        naming.COST_CENTER_TAG,
    ):
        assert f"`{tag}`" in text, tag
