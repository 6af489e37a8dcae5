"""A diagram of the resources in Bicep files: their references and role assignments.

Run it to draw those in docs/ anew: `python -m tests.bicep.diagram`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.infra import parameters, resource_types
from deploy.infra.desired import DesiredState
from deploy.infra.role_assignments import ROLE_IDS
from deploy.targets.appservice import infrastructure as appservice
from deploy.targets.azureml import infrastructure as azureml
from tests import environments
from tests.bicep import evaluate
from tests.bicep.evaluate import Deployment, Made
from tests.environments import APPSERVICE, AZUREML

ROOT = Path(__file__).parents[2]
PAGES = {
    AZUREML: ROOT / "docs/infrastructure/azureml.md",
    APPSERVICE: ROOT / "docs/infrastructure/appservice.md",
}
BEGIN, END = "<!-- drawn from infra/: python -m tests.bicep.diagram -->", "<!-- end -->"
# Which box a resource is drawn in, by the file that makes it.
BOXES = {
    "Identities": {resource_types.IDENTITY},
    "Watching": {
        resource_types.LOG_WORKSPACE,
        resource_types.INSIGHTS,
        resource_types.ACTION_GROUP,
        resource_types.METRIC_ALERT,
        resource_types.BUDGET,
    },
    "Shared": {
        resource_types.REGISTRY,
        resource_types.VAULT,
        resource_types.OPENAI_ACCOUNT,
        resource_types.MODEL_DEPLOYMENT,
        azureml.STORAGE,
    },
    "Where flows run": {
        azureml.WORKSPACE,
        appservice.PLAN,
        appservice.SITE,
        appservice.SLOT,
        resource_types.AUTOSCALE,
    },
}
PRINCIPAL = "principal of "


def environment(option: str) -> DesiredState:
    """Return the environment that is drawn: with a model, and public."""
    return environments.large(option, private=False, promote_from=None, unique="demo1")


def page(path: Path, option: str) -> str:
    """Return the page of an option with its picture as it should be."""
    text = path.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    wanted = environment(option)
    entry = ROOT / "infra" / parameters.find_entry_point(wanted)
    drawn = mermaid(evaluate.deploy(entry, parameters.build_parameters(wanted)))
    return f"{before}{BEGIN}\n\n```mermaid\n{drawn}\n```\n\n{END}{after}"


def mermaid(deployment: Deployment) -> str:
    """Return the picture as a Mermaid flowchart."""
    drawn = {
        one.id: one
        for one in deployment.resources
        if any(one.type in all_ for all_ in BOXES.values())
    }
    lines = ["flowchart LR"]
    for title, types in BOXES.items():
        inside = [one for one in drawn.values() if one.type in types]
        if inside:
            lines += [f'  subgraph {_key(title)}["{title}"]', *map(_node, inside), "  end"]
    lines += [f"  {_key(a)} --> {_key(b)}" for a, b in _references(drawn)]
    lines += [
        f'  {_key(who)} -. "{"<br/>".join(names)}" .-> {_key(what)}'
        for (who, what), names in _roles(deployment, drawn).items()
    ]
    return "\n".join(lines)


def _node(made: Made) -> str:
    return f'    {_key(made.id)}["{made.type.rpartition("/")[2]}<br/>{made.name}"]'


def _key(text: str) -> str:
    """Return a name that Mermaid takes for an id or a title."""
    short = text.rpartition("/providers/")[2] or text
    return re.sub(r"\W+", "_", short.partition("/")[2] or short)


def _references(drawn: dict[str, Made]) -> Iterator[tuple[str, str]]:
    """Yield what refers to what: a resource's id in the body of another, or in its own id."""
    for one in drawn.values():
        parent = one.id.rpartition("/")[0].rpartition("/")[0]
        if parent in drawn:
            yield parent, one.id
        for id in dict.fromkeys(_texts(one.body)):
            if id in drawn and id != one.id:
                yield one.id, id


def _roles(deployment: Deployment, drawn: dict[str, Made]) -> dict[tuple[str, str], list[str]]:
    """Return the names of the roles from each identity to each resource."""
    titles = {id: name for name, id in ROLE_IDS.items()}
    identities = {one.name: one.id for one in drawn.values() if one.type == resource_types.IDENTITY}
    found: dict[tuple[str, str], list[str]] = {}
    for one in deployment.of(resource_types.ROLE_ASSIGNMENT):
        given = one.body["properties"]
        who = identities[given["principalId"].removeprefix(PRINCIPAL)]
        if one.scope in drawn:
            role = titles[given["roleDefinitionId"].rpartition("/")[2]]
            found.setdefault((who, one.scope), []).append(role)
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


if __name__ == "__main__":
    for name, place in PAGES.items():
        place.write_text(page(place, name), "utf-8")
