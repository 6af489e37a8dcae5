"""The pages about infrastructure: their pictures are those of the Bicep files, no key is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.config.infra_model import InfraModel
from deploy.infra import naming, parameters, resource_types
from deploy.infra.requirements import collect_requirements
from deploy.targets.appservice import infrastructure as appservice
from tests import environments
from tests.bicep import diagram

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("option", diagram.PAGES)
def test_diagrams_are_up_to_date(option: str) -> None:
    path = diagram.PAGES[option]
    assert path.read_text("utf-8") == diagram.page(path, option), "python -m tests.bicep.diagram"


@pytest.mark.parametrize("option", diagram.PAGES)
def test_diagrams_show_every_resource(option: str) -> None:
    text = diagram.PAGES[option].read_text("utf-8")
    needs = collect_requirements(diagram.environment(option))
    hidden = {resource_types.GROUP, *appservice.SITE_PARTS}
    for resource in needs.resources:
        if resource.kind not in hidden:
            assert f'<br/>{resource.name}"]' in text
    for assignment in needs.assignments:
        if not assignment.scope.endswith(f"/{needs.desired.names.group}"):
            assert assignment.role in text


@pytest.mark.parametrize("option", diagram.PAGES)
def test_pages_name_the_cost_drivers(option: str) -> None:
    text = diagram.PAGES[option].read_text("utf-8")
    for kind in {one.kind for one in collect_requirements(diagram.environment(option)).resources}:
        if kind.cost_driver:
            assert f"| {kind} | {kind.cost_driver} |" in text


def test_every_key_is_documented() -> None:
    text = (DOCS / "infrastructure.md").read_text("utf-8")
    for key in InfraModel.model_fields:
        assert re.search(rf"^\| `{key}` \|", text, re.MULTILINE), key
    for key in parameters.build_parameters(environments.small("azureml"))["names"]:
        assert f"`{key}`" in text, key
    for tag in (
        naming.WORKLOAD_TAG,
        naming.ENVIRONMENT_TAG,
        naming.FLOW_TAG,
        naming.OWNER_TAG,
        naming.COST_CENTER_TAG,
    ):
        assert f"`{tag}`" in text, tag
