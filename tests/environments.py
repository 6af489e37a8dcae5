"""Environments in Azure for tests: as small as can be, and as large as can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy.config.configuration import EnvironmentDraft
from deploy.config.infra_model import InfraModel
from deploy.config.schema import PlaceModel, TargetSettings
from deploy.core.entities import Flow, ImageSettings
from deploy.infra import desired
from deploy.infra.desired import DesiredState, PromotionSource
from deploy.targets.appservice import settings as site
from deploy.targets.azureml.settings import Autoscale, Settings
from tests.bicep.evaluate import SUBSCRIPTION

AZUREML, APPSERVICE = "azureml", "appservice"
OPTIONS = ((AZUREML,), (APPSERVICE,), (AZUREML, APPSERVICE))
LARGE: dict[str, Any] = {
    "owner": "team-flows",
    "cost_center": "4711",
    "contacts": ["flows@contoso.example"],
    "budget": {"amount": 900, "start": "2026-12-01"},
    "private": True,
    "zone_redundant": True,
    "log_days": 90,
    "github": {"repository": "contoso/flows", "drift": True},
    "azure_devops": {
        "issuer": "https://login.example/tenant",
        "subject": "sc://contoso/flows/prod",
    },
    "promote_from": "dev",
    "models": [{"name": "gpt-4o-mini", "model": "gpt-4o-mini", "version": "2024-07-18"}],
}
CONNECTIONS = {
    "open_ai_connection": {
        "type": "azure_open_ai",
        "api_base": "AZURE_OPENAI_ENDPOINT",
        "api_key": "AZURE_OPENAI_API_KEY",
    },
    "search": {"type": "serp", "api_key": "SERP_API_KEY"},
}


def flow(name: str = "faq", **connections: Any) -> Flow:
    """Return a flow that is in no folder."""
    return Flow(
        name=name,
        folder=Path(name),
        kind="dag",
        entry="flow.dag.yaml",
        sample=Path("sample.json"),
        expect="object",
        connections=connections,
        init={},
        image=ImageSettings(),
        environments={},
    )


def outline(
    *options: str,
    given: dict[str, Any] | None = None,
    web: dict[str, Any] | None = None,
    **infra: Any,
) -> EnvironmentDraft:
    """Return an environment `prod` with a flow on each of `options`."""
    web = {"auth": "key", "slot": "staging", **(web or {})}
    described = {"location": "westeurope", **infra}
    place = PlaceModel(subscription=SUBSCRIPTION, infra=InfraModel.model_validate(described))
    uses: list[tuple[Flow, TargetSettings]] = []
    for option in options:
        if option == AZUREML:
            autoscale = Autoscale(max=5, cpu=70) if infra else None
            uses.append(
                (flow("chat", **CONNECTIONS), Settings(target=AZUREML, autoscale=autoscale))
            )
        else:
            env = site.SiteEnv(secret=["MY_TOKEN"])
            uses.append((flow(), site.Settings(target=option, env=env, **web)))
    return EnvironmentDraft("prod", place, given or {}, tuple(uses))


def small(*options: str, **infra: Any) -> DesiredState:
    """Return an environment of which only the region is said."""
    return desired.build_desired_state(outline(*options, **infra))


def large(*options: str, **infra: Any) -> DesiredState:
    """Return an environment of which everything is said: private, over zones, with a model."""
    origin = PromotionSource("33333333-3333-3333-3333-333333333333", "rg-flows-dev", "crflowsdev")
    described = {**LARGE, **infra}
    return desired.build_desired_state(
        outline(*options, **described), origin if described["promote_from"] else None
    )
