"""Target `azureml`: a managed online endpoint of Azure Machine Learning per flow and environment.

The endpoint's versions are deployments that share its traffic. See docs/targets/azureml.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deploy.azure import clouds
from deploy.config.target import SmokeTest
from deploy.core import progress
from deploy.core.entities import Deployment, Image, Plan, Spec, Step
from deploy.core.errors import DeployError, Problem
from deploy.targets import log_tail
from deploy.targets.azureml import (
    destroy,
    mutations,
    operations,
    prechecks,
    preflight,
    rollback,
    scoring,
    status,
)
from deploy.targets.azureml import diff as deciding
from deploy.targets.azureml import plan as planning
from deploy.targets.azureml import settings as shape
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.diff import Decision
from deploy.targets.azureml.errors import ErrorContext
from deploy.targets.azureml.provision import OperationPending
from deploy.targets.azureml.rollout import Rollout


class AzureML:
    """The Azure Machine Learning target."""

    Settings = shape.Settings
    Place = shape.Place

    def engine(self, spec: Spec) -> str | None:
        return None

    def check(self, spec: Spec) -> None:
        preflight.check(spec)

    def plan(self, spec: Spec, image: Image) -> Plan:
        client = Client(spec)
        observed = client.read_state()
        observed = prechecks.add_prechecks(
            client, spec, observed, deciding.decide(spec, image, observed)
        )
        decision = deciding.decide(spec, image, observed)
        planning.check_blockers(spec, observed, decision)
        return Plan(spec, image, planning.list_steps(spec, image, observed, decision), decision)

    def apply(self, plan: Plan, prove: SmokeTest, wait: bool = True) -> Deployment:
        spec, decision = plan.spec, plan.target_state
        client = Client(spec)
        if not isinstance(decision, Decision):
            raise DeployError(spec.name, "this plan is of another target")
        if wait and not decision.is_settled:
            # An interrupted run left an operation, which may change the state that the plan is
            # based on.
            operations.wait_until_settled(client)
            return self.apply(self.plan(spec, plan.image), prove)
        if plan.has_changes or not decision.is_ready:
            rollout = Rollout(client, spec, plan.image, decision, lambda: self.headers(spec))
            try:
                rollout.run(prove, wait)
            except OperationPending:
                next_steps = f"`inv status {spec.options}` shows how it goes, `inv deploy` goes on"
                progress.note("deploy", f"begun; {next_steps}")
        deployment = self.status(spec)
        if deployment is None:
            raise DeployError(
                client.where, "it is gone", f"`inv plan {spec.options}`, then deploy again"
            )
        return deployment

    def rollback(self, spec: Spec) -> Deployment:
        rollback.roll_back(Client(spec), spec)
        deployment = self.status(spec)
        if deployment is None:
            raise DeployError(spec.name, "nothing is deployed", f"`inv deploy {spec.options}`")
        return deployment

    def headers(self, spec: Spec) -> Mapping[str, str]:
        client = Client(spec)
        if shape.settings_of(spec).auth == "key":
            credential = client.read_key()
        else:
            scope = f"{mutations.token_audience(client.arm.cloud)}/.default"
            credential = clouds.get_token(client.arm.cloud, scope)
        return {"Authorization": f"Bearer {credential}"}

    def explain_response(
        self, spec: Spec, status: int, headers: Mapping[str, str]
    ) -> Problem | None:
        return scoring.explain_response(
            Client(spec).where, status, headers, ErrorContext(options=spec.options)
        )

    def status(self, spec: Spec) -> Deployment | None:
        return status.build_deployment(spec, Client(spec).read_state())

    def logs(self, spec: Spec, tail: int, follow: bool = False) -> Iterator[str]:
        client = Client(spec)
        deployment = self.status(spec)
        if deployment is None:
            raise DeployError(spec.name, "nothing is deployed", f"`inv deploy {spec.options}`")
        line_count = max(tail, FOLLOW_LOG_LINES) if follow else tail
        poll_seconds = client.arm.cloud.polling_interval or operations.POLL_SECONDS
        yield from log_tail.stream_lines(
            lambda: client.read_log(deployment.name, line_count), tail, follow, poll_seconds
        )

    def destroy(self, spec: Spec) -> tuple[Step, ...]:
        return destroy.destroy_deployment(Client(spec), spec)


# Lines to fetch while following a log.
FOLLOW_LOG_LINES = 500

TARGET = AzureML()
