"""The desired state of an environment, from the configuration: flows, targets and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic

from typing_extensions import TypeVar

from deploy.config import configuration
from deploy.config.configuration import EnvironmentDraft, Project
from deploy.config.infra_model import InfraModel
from deploy.config.schema import CloudModel, TargetSettings
from deploy.core.entities import Flow
from deploy.core.errors import DeployError, suggest_nearest
from deploy.infra import naming, resource_ids
from deploy.infra.naming import NamingConvention, ResourceNames
from deploy.infra.resource_types import ResourceType
from deploy.infra.target import TargetInfrastructure, find_infrastructures

# Keys of environments.yaml that name an existing resource, and the key of its name.
EXISTING_RESOURCE_KEYS = {"resource_group": "group", "registry": "registry", "identity": "runner"}

SettingsT = TypeVar("SettingsT", bound=TargetSettings)
SettingsT_co = TypeVar("SettingsT_co", bound=TargetSettings, covariant=True, default=TargetSettings)


@dataclass(frozen=True)
class FlowPlacement(Generic[SettingsT_co]):
    """A flow in the environment, with the settings of its target."""

    flow: Flow
    settings: SettingsT_co

    @property
    def target(self) -> str:
        """Return the name of the target that the flow runs on."""
        return self.settings.target


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
    # The targets that flows run on, and that need infrastructure, by name.
    targets: Mapping[str, TargetInfrastructure]
    placements: tuple[FlowPlacement, ...]
    infra: InfraModel
    subscription: str | None
    convention: NamingConvention
    names: ResourceNames
    # The names of the targets' resources, by their keys in `infra.names`.
    target_names: Mapping[str, str]
    tags: Mapping[str, str]
    promotion_source: PromotionSource | None
    cloud: str | CloudModel
    # All keys that environments.yaml has for this environment.
    environment_values: Mapping[str, Any]

    @property
    def group_id(self) -> str:
        """Return the id of the environment's resource group."""
        return resource_ids.build_group_id(
            self.subscription or naming.PLACEHOLDER, self.names.group
        )

    def build_id(self, kind: ResourceType, name: str) -> str:
        """Return the id of a resource in the environment's group."""
        return resource_ids.build_resource_id(self.group_id, kind, name)

    def list_placements(self, settings: type[SettingsT]) -> tuple[FlowPlacement[SettingsT], ...]:
        """Return the flows that run on the target with these settings."""
        return tuple(
            FlowPlacement(placement.flow, placement.settings)
            for placement in self.placements
            if isinstance(placement.settings, settings)
        )


def load(project: Project, environment: str) -> DesiredState:
    """Return the desired state of `environment`. Raise `DeployError` if it is not valid."""
    draft = configuration.load_environment_draft(project, environment)
    source = draft.place.infra and draft.place.infra.promote_from
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
    infrastructures = find_infrastructures()
    used = {settings.target for _, settings in draft.flow_settings}
    targets = {name: target for name, target in infrastructures.items() if name in used}
    if not targets:
        choices = " or ".join(f"`target: {name}`" for name in infrastructures)
        raise DeployError(
            f"--env {environment}",
            "no flow runs in Azure in this environment",
            f"set {choices} in a flow's deploy.yaml",
        )
    convention = naming.create_convention(infra, environment, place.subscription)
    # Bicep files have the names of all targets that they know.
    named = {
        **{name: target for name, target in infrastructures.items() if target.entry_point},
        **targets,
    }
    names, target_names = _resolve_names(draft, infra, convention, named)
    return DesiredState(
        environment=environment,
        targets=targets,
        placements=tuple(FlowPlacement(flow, settings) for flow, settings in draft.flow_settings),
        infra=infra,
        subscription=place.subscription,
        convention=convention,
        names=names,
        target_names=target_names,
        tags=naming.build_tags(infra, environment),
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
        hint = "add them, or set the variables that they refer to"
        raise DeployError(where, f"missing: {', '.join(missing)}", hint)
    return desired


def _find_promotion_source(draft: EnvironmentDraft) -> PromotionSource:
    infra = draft.place.infra or InfraModel()
    subscription = draft.place.subscription
    convention = naming.create_convention(infra, draft.environment, subscription)
    names, _ = _resolve_names(draft, infra, convention, find_infrastructures())
    return PromotionSource(subscription or naming.PLACEHOLDER, names.group, names.registry)


def _resolve_names(
    draft: EnvironmentDraft,
    infra: InfraModel,
    convention: NamingConvention,
    targets: Mapping[str, TargetInfrastructure],
) -> tuple[ResourceNames, dict[str, str]]:
    """Return the names by the convention, but those of existing resources as they are.

    Raises `DeployError` if `infra.names` has an unknown key.
    """
    names = naming.build_names(convention)
    existing_keys = dict(EXISTING_RESOURCE_KEYS)
    for target in targets.values():
        names |= target.build_names(convention)
        existing_keys |= target.existing_resource_keys
    for key in infra.names:
        if key not in names:
            where = f"environments.yaml: {draft.environment}.infra.names.{key}"
            raise DeployError(where, "no resource has this key", suggest_nearest(key, names))
    names |= {
        key: _extract_name(str(draft.place_values[name]))
        for name, key in existing_keys.items()
        if draft.place_values.get(name)
    }
    names |= infra.names
    shared = {field.name: names.pop(field.name) for field in fields(ResourceNames)}
    return ResourceNames(**shared), names


def _extract_name(text: str) -> str:
    """Return the name in a resource id or in a registry's address."""
    return text.rpartition("/")[2] if text.startswith("/") else text.partition(".")[0]
