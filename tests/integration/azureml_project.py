"""A project that deploys to an emulated workspace with the target azureml."""

from __future__ import annotations

import json
from typing import Any

from deploy.config import configuration
from deploy.config.target import is_spec_for
from deploy.core.entities import Deployment, Plan
from deploy.delivery import pipeline
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.targets import azureml
from deploy.targets.azureml import naming
from deploy.targets.azureml.settings import EndpointSpec

GROUP = "rg-flows"
WORKSPACE = "mlw-flows"
# What environments.yaml says for this target.
PLACE = {"resource_group": GROUP, "workspace": WORKSPACE}
QUICK = {"initial_delay": 1, "period": 1}
# Quick, so that a test of a rollout takes seconds.
SETTINGS: dict[str, Any] = {
    "target": "azureml",
    "soak": 0,
    "guards": {"probes": 2},
    "rollout": [10, 50, 100],
    "probes": {"liveness": QUICK, "readiness": QUICK},
}


def with_endpoint(
    project: configuration.Project, azure: Azure, acr: Acr, folder: str, **settings: Any
) -> configuration.Project:
    """Let `project` deploy to an emulated workspace in the environment dev."""
    place = {**azure.place(acr, folder), **PLACE}
    text = json.dumps({"local": {}, "dev": place})
    (project.root / "environments.yaml").write_text(text, encoding="utf-8")
    declare(project, **settings)
    return project


def declare_place(project: configuration.Project, **changes: Any) -> None:
    """Change what environments.yaml says of dev."""
    path = project.root / "environments.yaml"
    places = json.loads(path.read_text(encoding="utf-8"))
    places["dev"].update(changes)
    path.write_text(json.dumps(places), encoding="utf-8")


def declare(project: configuration.Project, **settings: Any) -> None:
    """Write deploy.yaml with these settings beside those of all tests."""
    declared = {
        "sample": "sample.json",
        "expect": {"answer": "string"},
        "environments": {"local": {"target": "local"}, "dev": {**SETTINGS, **settings}},
    }
    path = project.root / "flows/hello/deploy.yaml"
    path.write_text(json.dumps(declared), encoding="utf-8")


def spec(project: configuration.Project) -> EndpointSpec:
    (found,) = configuration.load_specs(project, "dev")
    assert is_spec_for(found, azureml.TARGET)
    return found


def deploy(project: configuration.Project, wait: bool = True) -> Deployment:
    return pipeline.deploy(project, spec(project), wait=wait)


def plan(project: configuration.Project) -> Plan:
    return pipeline.plan(project, spec(project))


def rows(planned: Plan) -> list[tuple[str, str]]:
    """What a plan does to what, in its order."""
    return [(step.action, step.what) for step in planned.steps]


def endpoint(project: configuration.Project) -> str:
    return naming.endpoint_name(spec(project))


def status(project: configuration.Project) -> Deployment:
    """What runs; something must."""
    found = pipeline.status(spec(project))
    assert found
    return found


def headers(project: configuration.Project) -> dict[str, str]:
    """What a caller needs to be let in."""
    return dict(azureml.TARGET.headers(spec(project)))
