"""The desired state of an environment, from the configuration: options, sizes and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deploy.config import configuration
from deploy.config.configuration import EnvironmentDraft, Project
from deploy.config.schema import InfraModel, TargetSettings
from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from deploy.infra import naming
from deploy.infra.naming import ResourceNames

AZUREML, APPSERVICE = "azureml", "appservice"
# The targets whose Azure infrastructure this package creates.
OPTIONS = (AZUREML, APPSERVICE)
# Keys of environments.yaml that name an existing resource, and its field of `ResourceNames`.
EXISTING_RESOURCE_KEYS = {
    "resource_group": "group",
    "workspace": "workspace",
    "registry": "registry",
    "identity": "runner",
    "slot_identity": "slotIdentity",
}
# Used if a flow names no slot: a deploy without downtime needs one.
DEFAULT_SLOT = "staging"
# "Reliability in Azure App Service": the fewest instances of a plan that spans zones.
MIN_ZONE_INSTANCES = 3


@dataclass(frozen=True)
class FlowPlacement:
    """A flow in the environment, with the settings of its target."""

    flow: Flow
    settings: TargetSettings

    @property
    def target(self) -> str:
        """Return the name of the target that the flow runs on."""
        return self.settings.target


@dataclass(frozen=True)
class Site:
    """The web app of a flow, and the slot in which a new version starts."""

    flow: str
    name: str
    slot: str


@dataclass(frozen=True)
class PromotionSource:
    """The registry of another environment, from which images are promoted."""

    subscription: str
    group: str
    registry: str


@dataclass(frozen=True)
class DesiredState:
    """The desired state of an environment."""

    environment: str
    options: tuple[str, ...]
    placements: tuple[FlowPlacement, ...]
    infra: InfraModel
    subscription: str | None
    names: ResourceNames
    tags: Mapping[str, str]
    # The name of a web app, with {flow} as the placeholder for the flow's name.
    app_name_template: str
    sites: tuple[Site, ...]
    promotion_source: PromotionSource | None
    cloud: Any = "public"
    # All keys that environments.yaml has for this environment.
    environment_values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def instance_range(self) -> tuple[int, int]:
        """Return the fewest and the most instances of the App Service plan."""
        fewest = (
            max(self.infra.plan.min, MIN_ZONE_INSTANCES)
            if self.infra.zone_redundant
            else self.infra.plan.min
        )
        return fewest, max(self.infra.plan.max, fewest)

    @property
    def has_autoscale(self) -> bool:
        """Return whether a deploy writes autoscale rules for an endpoint's deployments."""
        return any(
            getattr(placement.settings, "autoscale", None)
            for placement in self.list_placements(AZUREML)
        )

    @property
    def has_key_auth(self) -> bool:
        """Return whether any web app authenticates its clients by a key."""
        return any(
            getattr(placement.settings, "auth", "") == "key"
            for placement in self.list_placements(APPSERVICE)
        )

    def list_placements(self, option: str) -> tuple[FlowPlacement, ...]:
        """Return the flows that run on the target `option`."""
        return tuple(placement for placement in self.placements if placement.target == option)


def load(project: Project, environment: str) -> DesiredState:
    """Return the desired state of `environment`. Raise `DeployError` if it is not valid."""
    draft = configuration.load_environment_draft(project, environment)
    infra = draft.place.infra or InfraModel()
    source = infra.promote_from
    return build_desired_state(
        draft,
        _find_promotion_source(configuration.load_environment_draft(project, source))
        if source
        else None,
    )


def build_desired_state(
    draft: EnvironmentDraft, origin: PromotionSource | None = None
) -> DesiredState:
    """Return the desired state that `draft` describes. Raise `DeployError` if it is not valid."""
    environment, place = draft.environment, draft.place
    infra = place.infra or InfraModel()
    uses = tuple(FlowPlacement(flow, settings) for flow, settings in draft.flow_settings)
    options = tuple(name for name in OPTIONS if any(placement.target == name for placement in uses))
    if not options:
        what = "no flow runs in Azure in this environment"
        hint = f"set `target: {AZUREML}` or `target: {APPSERVICE}` in a flow's deploy.yaml"
        raise DeployError(f"--env {environment}", what, hint)
    unique = naming.build_unique_suffix(infra, place.subscription, environment)
    app = str(draft.place_values.get("app") or naming.build_app_name_template(environment, unique))
    return DesiredState(
        environment=environment,
        options=options,
        placements=uses,
        infra=infra,
        subscription=place.subscription,
        names=_resolve_names(draft, infra, unique),
        tags=naming.build_tags(infra, environment),
        app_name_template=app,
        sites=tuple(_site(placement, app) for placement in uses if placement.target == APPSERVICE),
        promotion_source=origin,
        cloud=place.cloud,
        environment_values=draft.place_values,
    )


def require_complete(desired: DesiredState) -> DesiredState:
    """Return `desired`. Raise `DeployError` if a value that Azure requires is missing."""
    required = {"subscription": desired.subscription, "infra.location": desired.infra.location}
    missing = [key for key, value in required.items() if not value]
    if desired.promotion_source and desired.promotion_source.subscription == naming.PLACEHOLDER:
        missing.append(f"the subscription of {desired.infra.promote_from}")
    if missing:
        where = f"environments.yaml: {desired.environment}"
        hint = "write them there; are the variables set that it names?"
        raise DeployError(where, f"missing: {', '.join(missing)}", hint)
    return desired


def _find_promotion_source(draft: EnvironmentDraft) -> PromotionSource:
    infra = draft.place.infra or InfraModel()
    unique = naming.build_unique_suffix(infra, draft.place.subscription, draft.environment)
    names = _resolve_names(draft, infra, unique)
    return PromotionSource(
        draft.place.subscription or naming.PLACEHOLDER, names.group, names.registry
    )


def _site(placement: FlowPlacement, app: str) -> Site:
    name = getattr(placement.settings, "app", None) or app.replace("{flow}", placement.flow.name)
    return Site(
        placement.flow.name, name, getattr(placement.settings, "slot", None) or DEFAULT_SLOT
    )


def _resolve_names(draft: EnvironmentDraft, infra: InfraModel, unique: str) -> ResourceNames:
    """Return the names by the convention, but those of existing resources as they are."""
    names = naming.build_names(infra, draft.environment, unique)
    existing = {
        key: _extract_name(str(draft.place_values[name]))
        for name, key in EXISTING_RESOURCE_KEYS.items()
        if draft.place_values.get(name) and key not in infra.names
    }
    return replace(names, **existing)


def _extract_name(text: str) -> str:
    """Return the name in a resource id or in a registry's address."""
    return text.rpartition("/")[2] if text.startswith("/") else text.partition(".")[0]
