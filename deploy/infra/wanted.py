"""What an environment is to be, from the configuration: which options, how large, which names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deploy import config
from deploy.config import Outline, Project
from deploy.errors import DeployError
from deploy.infra import naming
from deploy.infra.naming import Names
from deploy.model import Flow
from deploy.schema import InfraModel, TargetSettings

AZUREML, APPSERVICE = "azureml", "appservice"
# The targets that need something in Azure, and are made here.
OPTIONS = (AZUREML, APPSERVICE)
# Keys of environments.yaml that say the name of a resource that is there already.
GIVEN = {
    "resource_group": "group",
    "workspace": "workspace",
    "registry": "registry",
    "identity": "runner",
    "slot_identity": "slotIdentity",
}
# Where a flow names no slot, as it must to be deployed without a break.
SLOT = "staging"
# "Reliability in Azure App Service": instances of a plan that spans zones.
ZONES = 3


@dataclass(frozen=True)
class Use:
    """One flow in the environment."""

    flow: Flow
    settings: TargetSettings

    @property
    def target(self) -> str:
        """The option that it runs on."""
        return self.settings.target


@dataclass(frozen=True)
class Site:
    """The web app of a flow, and the slot that a new version of it starts in."""

    flow: str
    name: str
    slot: str


@dataclass(frozen=True)
class Origin:
    """The registry of another environment, whose images are promoted."""

    subscription: str
    group: str
    registry: str


@dataclass(frozen=True)
class Wanted:
    """An environment as the team wants it.

    `app` is how web apps are called, with {flow} in the place of the flow. `given` is all that
    environments.yaml says.
    """

    environment: str
    options: tuple[str, ...]
    uses: tuple[Use, ...]
    infra: InfraModel
    subscription: str | None
    names: Names
    tags: Mapping[str, str]
    app: str
    sites: tuple[Site, ...]
    origin: Origin | None
    cloud: Any = "public"
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def instances(self) -> tuple[int, int]:
        """The fewest and the most instances of the App Service plan."""
        fewest = (
            max(self.infra.plan.min, ZONES) if self.infra.zone_redundant else self.infra.plan.min
        )
        return fewest, max(self.infra.plan.max, fewest)

    @property
    def scales(self) -> bool:
        """Whether a deploy writes rules that scale deployments of an endpoint."""
        return any(getattr(use.settings, "autoscale", None) for use in self.on(AZUREML))

    @property
    def keyed(self) -> bool:
        """Whether callers of a web app are let in by a key."""
        return any(getattr(use.settings, "auth", "") == "key" for use in self.on(APPSERVICE))

    def on(self, option: str) -> tuple[Use, ...]:
        """Return the flows of one option."""
        return tuple(use for use in self.uses if use.target == option)


def load(project: Project, environment: str) -> Wanted:
    """Return what `environment` is to be. Raises `DeployError`."""
    outline = config.load_outline(project, environment)
    infra = outline.place.infra or InfraModel()
    source = infra.promote_from
    return of(outline, _origin(config.load_outline(project, source)) if source else None)


def of(outline: Outline, origin: Origin | None = None) -> Wanted:
    """Return what `outline` asks for. Raises `DeployError`."""
    environment, place = outline.environment, outline.place
    infra = place.infra or InfraModel()
    uses = tuple(Use(flow, settings) for flow, settings in outline.uses)
    options = tuple(name for name in OPTIONS if any(use.target == name for use in uses))
    if not options:
        what = "no flow runs in Azure in this environment"
        hint = f"set `target: {AZUREML}` or `target: {APPSERVICE}` in a flow's deploy.yaml"
        raise DeployError(f"--env {environment}", what, hint)
    unique = naming.unique_of(infra, place.subscription, environment)
    app = str(outline.given.get("app") or naming.app_of(environment, unique))
    return Wanted(
        environment=environment,
        options=options,
        uses=uses,
        infra=infra,
        subscription=place.subscription,
        names=_names(outline, infra, unique),
        tags=naming.tags_of(infra, environment),
        app=app,
        sites=tuple(_site(use, app) for use in uses if use.target == APPSERVICE),
        origin=origin,
        cloud=place.cloud,
        given=outline.given,
    )


def complete(wanted: Wanted) -> Wanted:
    """Return `wanted`. Raises `DeployError` where something that Azure must know is missing."""
    given = {"subscription": wanted.subscription, "infra.location": wanted.infra.location}
    missing = [key for key, value in given.items() if not value]
    if wanted.origin and wanted.origin.subscription == naming.UNKNOWN:
        missing.append(f"the subscription of {wanted.infra.promote_from}")
    if missing:
        where = f"environments.yaml: {wanted.environment}"
        hint = "write them there; are the variables set that it names?"
        raise DeployError(where, f"missing: {', '.join(missing)}", hint)
    return wanted


def _origin(outline: Outline) -> Origin:
    infra = outline.place.infra or InfraModel()
    unique = naming.unique_of(infra, outline.place.subscription, outline.environment)
    names = _names(outline, infra, unique)
    return Origin(outline.place.subscription or naming.UNKNOWN, names.group, names.registry)


def _site(use: Use, app: str) -> Site:
    name = getattr(use.settings, "app", None) or app.replace("{flow}", use.flow.name)
    return Site(use.flow.name, name, getattr(use.settings, "slot", None) or SLOT)


def _names(outline: Outline, infra: InfraModel, unique: str) -> Names:
    """Return the names by the convention, but those of what is there already as they are."""
    names = naming.names_of(infra, outline.environment, unique)
    there = {
        key: _short(str(outline.given[name]))
        for name, key in GIVEN.items()
        if outline.given.get(name) and key not in infra.names
    }
    return replace(names, **there)


def _short(text: str) -> str:
    """Return the name in a resource's id or in a registry's address."""
    return text.rpartition("/")[2] if text.startswith("/") else text.partition(".")[0]
