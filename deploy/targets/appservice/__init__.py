"""Target `appservice`: a container site of Azure App Service per flow and environment.

A new version starts on a slot of the site if one is configured. See docs/targets/appservice.md.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping

from deploy.config.target import Target
from deploy.core.entities import Deployment, Image, Plan, Step
from deploy.core.errors import DeployError, Problem
from deploy.targets.appservice import (
    authentication,
    destroy,
    diff,
    errors,
    prechecks,
    rollback,
    status,
)
from deploy.targets.appservice import plan as planning
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.diff import Decision
from deploy.targets.appservice.infrastructure import AppServiceInfrastructure
from deploy.targets.appservice.llmops import ENDPOINT_IMPORT
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.rollout import InPlaceRollout, SiteRollout, SlotRollout
from deploy.targets.appservice.settings import Place, Settings, SitePlan, SiteSpec
from deploy.targets.base import CloudTarget


class AppService(CloudTarget[Decision, Settings, Place]):
    """The App Service target."""

    Settings = Settings
    Place = Place
    infrastructure = AppServiceInfrastructure()
    llmops = ENDPOINT_IMPORT
    decision_type = Decision

    def check(self, spec: SiteSpec) -> None:
        prechecks.check_configuration(spec)

    def plan(self, spec: SiteSpec, image: Image) -> SitePlan:
        client = Client(spec)
        observed = client.read_state()
        prechecks.check_blockers(spec, observed)
        auth_changes = {
            site.name: authentication.desired_auth(spec, client.arm, site.auth)
            for site in observed.sites
        }
        decision = diff.decide(spec, image, observed, auth_changes)
        if decision.has_new_version:
            observed = client.add_pull_permissions(observed)
            prechecks.check_blockers(spec, observed)
            # Fail now if the key cannot be read: the smoke test needs it.
            self.headers(spec)
        steps = planning.list_steps(spec, image, observed, decision)
        return Plan(spec, image, steps, decision)

    def rollout(self, plan: SitePlan, decision: Decision) -> SiteRollout | None:
        if not decision.has_changes:
            return None
        kind = InPlaceRollout if decision.is_in_place else SlotRollout
        headers = functools.partial(self.headers, plan.spec)
        return kind(Client(plan.spec), decision, plan.spec, plan.image, headers)

    def restore_previous_version(self, spec: SiteSpec) -> None:
        rollback.roll_back(Client(spec), spec, self.headers(spec))

    def headers(self, spec: SiteSpec) -> Mapping[str, str]:
        return authentication.headers(spec)

    def explain_response(
        self, spec: SiteSpec, status: int, headers: Mapping[str, str]
    ) -> Problem | None:
        return errors.explain_response(spec, Client(spec).where, status)

    def status(self, spec: SiteSpec) -> Deployment | None:
        observed = Client(spec).read_state()
        headers: Mapping[str, str] | None = None
        with contextlib.suppress(DeployError):
            headers = self.headers(spec)
        return status.build_deployment(spec, observed, headers)

    def serving_version(self, spec: SiteSpec) -> str | None:
        record = Client(spec).read_state().production.record
        return PRODUCTION if record and record.is_managed_by(spec) else None

    def read_log(self, spec: SiteSpec, version: str, tail: int) -> list[str]:
        return Client(spec).read_log(version)

    def log_poll_seconds(self, spec: SiteSpec) -> float:
        return Client(spec).poll_seconds

    def destroy(self, spec: SiteSpec) -> tuple[Step, ...]:
        return destroy.destroy_deployment(Client(spec), spec)


TARGET: Target[Settings, Place] = AppService()
