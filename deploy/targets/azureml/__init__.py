"""Azure Machine Learning's managed online endpoint: one for a flow in an environment.

Its versions are deployments, beside each other; requests are shared among them. See
docs/targets/azureml.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deploy import cloud, console, following
from deploy.errors import DeployError, Problem
from deploy.model import Deployment, Image, Plan, Spec, Step
from deploy.targets.azureml import (
    back,
    leaving,
    overview,
    preflight,
    scoring,
    survey,
    waiting,
    writes,
)
from deploy.targets.azureml import decide as deciding
from deploy.targets.azureml import plan as planning
from deploy.targets.azureml import settings as shape
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.decide import Decision
from deploy.targets.azureml.errors import About
from deploy.targets.azureml.rollout import Rollout
from deploy.targets.azureml.starting import BegunError
from deploy.targets.base import Prove


class AzureML:
    """A managed online endpoint."""

    Settings = shape.Settings
    Place = shape.Place

    def engine(self, spec: Spec) -> str | None:
        return None

    def check(self, spec: Spec) -> None:
        preflight.check(spec)

    def plan(self, spec: Spec, image: Image) -> Plan:
        client = Client(spec)
        world = client.look()
        world = survey.around(client, spec, world, deciding.decide(spec, image, world))
        decision = deciding.decide(spec, image, world)
        planning.refuse(spec, world, decision)
        return Plan(spec, image, planning.steps(spec, image, world, decision), decision)

    def apply(self, plan: Plan, prove: Prove, wait: bool = True) -> Deployment:
        spec, decision = plan.spec, plan.found
        client = Client(spec)
        if not isinstance(decision, Decision):
            raise DeployError(spec.name, "this plan is of another target")
        if wait and not decision.settled:
            # An earlier run was interrupted: what it began may change what the plan rests on.
            waiting.until_settled(client)
            return self.apply(self.plan(spec, plan.image), prove)
        if plan.changes or not decision.ready:
            rollout = Rollout(client, spec, plan.image, decision, lambda: self.headers(spec))
            try:
                rollout.run(prove, wait)
            except BegunError:
                how = f"`inv status {spec.options}` shows how it goes, `inv deploy` goes on"
                console.note("deploy", f"begun; {how}")
        found = self.status(spec)
        if found is None:
            raise DeployError(
                client.where, "it is gone", f"`inv plan {spec.options}`, then deploy again"
            )
        return found

    def rollback(self, spec: Spec) -> Deployment:
        back.roll_back(Client(spec), spec)
        found = self.status(spec)
        if found is None:
            raise DeployError(spec.name, "nothing is deployed", f"`inv deploy {spec.options}`")
        return found

    def headers(self, spec: Spec) -> Mapping[str, str]:
        client = Client(spec)
        if shape.settings_of(spec).auth == "key":
            secret = client.key()
        else:
            scope = f"{writes.audience(client.arm.cloud)}/.default"
            secret = cloud.token(client.arm.cloud, scope)
        return {"Authorization": f"Bearer {secret}"}

    def refusal(self, spec: Spec, status: int, headers: Mapping[str, str]) -> Problem | None:
        return scoring.refusal(Client(spec).where, status, headers, About(options=spec.options))

    def status(self, spec: Spec) -> Deployment | None:
        return overview.of(spec, Client(spec).look())

    def logs(self, spec: Spec, tail: int, follow: bool = False) -> Iterator[str]:
        client = Client(spec)
        found = self.status(spec)
        if found is None:
            raise DeployError(spec.name, "nothing is deployed", f"`inv deploy {spec.options}`")
        many = max(tail, FOLLOWED) if follow else tail
        pause = client.arm.cloud.polling or waiting.POLLING
        yield from following.lines(lambda: client.log(found.name, many), tail, follow, pause)

    def destroy(self, spec: Spec) -> tuple[Step, ...]:
        return leaving.remove(Client(spec), spec)


# Lines that are asked for while a log is followed.
FOLLOWED = 500

TARGET = AzureML()
