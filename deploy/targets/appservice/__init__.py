"""Target `appservice`: a container site of Azure App Service per flow and environment.

A new version starts on a slot of the site if one is configured. See docs/targets/appservice.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from deploy.config.target import SmokeTest
from deploy.core import progress
from deploy.core.entities import Deployment, Image, Plan, Spec, Step
from deploy.core.errors import DeployError, Problem
from deploy.targets import log_tail
from deploy.targets.appservice import authentication, destroy, errors, preflight, rollback, status
from deploy.targets.appservice import diff as deciding
from deploy.targets.appservice import plan as planning
from deploy.targets.appservice import settings as shape
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.diff import Decision
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.rollout import OperationPending, Rollout

# Seconds between two fetches while following a log.
POLL_SECONDS = 5.0


class AppService:
    """The App Service target."""

    Settings = shape.Settings
    Place = shape.Place

    def engine(self, spec: Spec) -> str | None:
        return None

    def check(self, spec: Spec) -> None:
        preflight.check(spec)

    def plan(self, spec: Spec, image: Image) -> Plan:
        client = Client(spec)
        observed = client.read_state()
        planning.check_blockers(spec, observed)
        auth_changes = {
            site.name: authentication.desired_auth(spec, client.arm, site.auth)
            for site in observed.sites
        }
        decision = deciding.decide(spec, image, observed, auth_changes)
        if decision.has_new_version:
            observed = client.add_pull_permissions(observed)
            planning.check_blockers(spec, observed)
            # Fail now if the key cannot be read: the smoke test needs it.
            self.headers(spec)
        steps = planning.list_steps(spec, image, observed, decision)
        return Plan(spec, image, steps, decision)

    def apply(self, plan: Plan, prove: SmokeTest, wait: bool = True) -> Deployment:
        spec, decision = plan.spec, plan.target_state
        client = Client(spec)
        if not isinstance(decision, Decision):
            raise DeployError(spec.name, "this plan is of another target")
        if decision.has_changes:
            rollout = Rollout(client, spec, plan.image, decision, lambda: self.headers(spec))
            try:
                rollout.run(prove, wait)
            except OperationPending:
                return self._pending_deployment(spec, plan, client)
        deployment = self.status(spec)
        if deployment is None:
            raise DeployError(client.where, "it is gone", "`inv plan`, then deploy again")
        return deployment

    def rollback(self, spec: Spec) -> Deployment:
        rollback.roll_back(Client(spec), spec, self.headers(spec))
        deployment = self.status(spec)
        if deployment is None:
            raise DeployError(spec.name, "nothing is deployed", "`inv deploy`")
        return deployment

    def headers(self, spec: Spec) -> Mapping[str, str]:
        return authentication.headers(spec)

    def explain_response(
        self, spec: Spec, status: int, headers: Mapping[str, str]
    ) -> Problem | None:
        return errors.explain_response(spec, Client(spec).where, status)

    def status(self, spec: Spec) -> Deployment | None:
        observed = Client(spec).read_state()
        headers: Mapping[str, str] | None = None
        with contextlib.suppress(DeployError):
            headers = self.headers(spec)
        return status.build_deployment(spec, observed, headers)

    def logs(self, spec: Spec, tail: int, follow: bool = False) -> Iterator[str]:
        client = Client(spec)
        record = client.read_state().production.record
        if record is None or not record.is_managed_by(spec):
            hint = f"`inv deploy --flow {spec.flow.name} --env {spec.environment}`"
            raise DeployError(spec.name, "nothing is deployed", hint)
        poll_seconds = client.arm.cloud.polling_interval or POLL_SECONDS
        yield from log_tail.stream_lines(
            lambda: client.read_log(PRODUCTION), tail, follow, poll_seconds
        )

    def destroy(self, spec: Spec) -> tuple[Step, ...]:
        return destroy.destroy_deployment(Client(spec), spec)

    def _pending_deployment(self, spec: Spec, plan: Plan, client: Client) -> Deployment:
        progress.note("deploy", "begun on the slot; `inv deploy` goes on")
        deployment = self.status(spec)
        if deployment:
            return deployment
        slot = client.read_state().slot
        return Deployment(
            flow=spec.flow.name,
            environment=spec.environment,
            target="appservice",
            state="starting",
            url=slot.url if slot else "",
            auth=shape.settings_of(spec).auth,
            image_id=plan.image.pinned,
            tag=plan.image.tag,
            commit=plan.image.commit,
            created="",
            name=slot.name if slot else "",
            digest=plan.image.digest or "",
        )


TARGET = AppService()
