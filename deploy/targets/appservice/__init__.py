"""Azure App Service: a site with a container for a flow in an environment, and a slot beside it.

See docs/targets/appservice.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from deploy import console, following
from deploy.errors import DeployError, Problem
from deploy.model import Deployment, Image, Plan, Spec, Step
from deploy.targets.appservice import (
    access,
    back,
    errors,
    leaving,
    overview,
    preflight,
)
from deploy.targets.appservice import decide as deciding
from deploy.targets.appservice import plan as planning
from deploy.targets.appservice import settings as shape
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.decide import Decision
from deploy.targets.appservice.naming import PRODUCTION
from deploy.targets.appservice.rollout import BegunError, Rollout
from deploy.targets.base import Prove

# Between two looks at a log that is followed, in seconds.
FOLLOWING = 5.0


class AppService:
    """A site of App Service."""

    Settings = shape.Settings
    Place = shape.Place

    def engine(self, spec: Spec) -> str | None:
        return None

    def check(self, spec: Spec) -> None:
        preflight.check(spec)

    def plan(self, spec: Spec, image: Image) -> Plan:
        client = Client(spec)
        world = client.look()
        planning.refuse(spec, world)
        asked = {site.name: access.wanted(spec, client.arm, site.auth) for site in world.sites}
        decision = deciding.decide(spec, image, world, asked)
        if decision.deploys:
            world = client.with_pullers(world)
            planning.refuse(spec, world)
            # A key that nobody can read could not be proved to let anybody in.
            self.headers(spec)
        rows = planning.steps(spec, image, world, decision)
        return Plan(spec, image, rows, decision)

    def apply(self, plan: Plan, prove: Prove, wait: bool = True) -> Deployment:
        spec, decision = plan.spec, plan.found
        client = Client(spec)
        if not isinstance(decision, Decision):
            raise DeployError(spec.name, "this plan is of another target")
        if decision.changes:
            rollout = Rollout(client, spec, plan.image, decision, lambda: self.headers(spec))
            try:
                rollout.run(prove, wait)
            except BegunError:
                return self._begun(spec, plan, client)
        found = self.status(spec)
        if found is None:
            raise DeployError(client.where, "it is gone", "`inv plan`, then deploy again")
        return found

    def rollback(self, spec: Spec) -> Deployment:
        back.roll_back(Client(spec), spec, self.headers(spec))
        found = self.status(spec)
        if found is None:
            raise DeployError(spec.name, "nothing is deployed", "`inv deploy`")
        return found

    def headers(self, spec: Spec) -> Mapping[str, str]:
        return access.headers(spec)

    def refusal(self, spec: Spec, status: int, headers: Mapping[str, str]) -> Problem | None:
        return errors.scoring(spec, Client(spec).where, status)

    def status(self, spec: Spec) -> Deployment | None:
        world = Client(spec).look()
        headers: Mapping[str, str] | None = None
        with contextlib.suppress(DeployError):
            headers = self.headers(spec)
        return overview.of(spec, world, headers)

    def logs(self, spec: Spec, tail: int, follow: bool = False) -> Iterator[str]:
        client = Client(spec)
        found = client.look().production.record
        if found is None or not found.of(spec):
            hint = f"`inv deploy --flow {spec.flow.name} --env {spec.environment}`"
            raise DeployError(spec.name, "nothing is deployed", hint)
        pause = client.arm.cloud.polling or FOLLOWING
        yield from following.lines(lambda: client.log(PRODUCTION), tail, follow, pause)

    def destroy(self, spec: Spec) -> tuple[Step, ...]:
        return leaving.remove(Client(spec), spec)

    def _begun(self, spec: Spec, plan: Plan, client: Client) -> Deployment:
        console.note("deploy", "begun on the slot; `inv deploy` goes on")
        found = self.status(spec)
        if found:
            return found
        where = client.look().slot
        return Deployment(
            flow=spec.flow.name,
            environment=spec.environment,
            target="appservice",
            state="starting",
            url=where.url if where else "",
            auth=shape.settings_of(spec).auth,
            image_id=plan.image.pinned,
            tag=plan.image.tag,
            commit=plan.image.commit,
            created="",
            name=where.name if where else "",
            digest=plan.image.digest or "",
        )


TARGET = AppService()
