"""Target `azureml`: a managed online endpoint of Azure Machine Learning per flow and environment.

The endpoint's versions are deployments that share its traffic. See docs/targets/azureml.md.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from deploy.azure import clouds
from deploy.config.target import SmokeTest, Target
from deploy.core.entities import Deployment, Image, Plan, Step
from deploy.core.errors import Problem
from deploy.targets.azureml import (
    destroy,
    diff,
    errors,
    operations,
    prechecks,
    rollback,
    status,
    writer,
)
from deploy.targets.azureml import plan as planning
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.diff import Decision
from deploy.targets.azureml.errors import ErrorContext
from deploy.targets.azureml.infrastructure import AzureMLInfrastructure
from deploy.targets.azureml.llmops import ENDPOINT_IMPORT
from deploy.targets.azureml.rollout import EndpointRollout
from deploy.targets.azureml.settings import EndpointPlan, EndpointSpec, Place, Settings
from deploy.targets.base import CloudTarget


class AzureML(CloudTarget[Decision, Settings, Place]):
    """The Azure Machine Learning target."""

    Settings = Settings
    Place = Place
    infrastructure = AzureMLInfrastructure()
    llmops = ENDPOINT_IMPORT
    decision_type = Decision

    def check(self, spec: EndpointSpec) -> None:
        prechecks.check_configuration(spec)

    def plan(self, spec: EndpointSpec, image: Image) -> EndpointPlan:
        client = Client(spec)
        observed = client.read_state()
        decision = diff.decide(spec, image, observed)
        observed = prechecks.read_preconditions(client, spec, observed, decision)
        decision = diff.decide(spec, image, observed)
        prechecks.check_blockers(spec, observed, decision)
        return Plan(spec, image, planning.list_steps(spec, image, observed, decision), decision)

    def apply(self, plan: EndpointPlan, smoke_test: SmokeTest, wait: bool = True) -> Deployment:
        decision = self.require_decision(plan)
        if wait and not decision.is_settled:
            # An interrupted run left an operation, which may change the state that the plan is
            # based on.
            operations.wait_until_settled(Client(plan.spec))
            return self.apply(self.plan(plan.spec, plan.image), smoke_test)
        return super().apply(plan, smoke_test, wait)

    def rollout(self, plan: EndpointPlan, decision: Decision) -> EndpointRollout | None:
        if not plan.has_changes and decision.is_ready:
            return None
        headers = functools.partial(self.headers, plan.spec)
        return EndpointRollout(Client(plan.spec), decision, plan.spec, plan.image, headers)

    def restore_previous_version(self, spec: EndpointSpec) -> None:
        rollback.roll_back(Client(spec), spec)

    def headers(self, spec: EndpointSpec) -> Mapping[str, str]:
        client = Client(spec)
        if spec.settings.auth == "key":
            credential = client.read_key()
        else:
            scope = f"{writer.token_audience(client.arm.cloud)}/.default"
            credential = clouds.get_token(client.arm.cloud, scope)
        return {"Authorization": f"Bearer {credential}"}

    def explain_response(
        self, spec: EndpointSpec, status: int, headers: Mapping[str, str]
    ) -> Problem | None:
        context = ErrorContext(options=spec.options)
        return errors.explain_response(Client(spec).where, status, headers, context)

    def status(self, spec: EndpointSpec) -> Deployment | None:
        return status.build_deployment(spec, Client(spec).read_state())

    def serving_version(self, spec: EndpointSpec) -> str | None:
        deployment = self.status(spec)
        return deployment.name if deployment else None

    def read_log(self, spec: EndpointSpec, version: str, tail: int) -> list[str]:
        return Client(spec).read_log(version, tail)

    def log_poll_seconds(self, spec: EndpointSpec) -> float:
        return Client(spec).poll_seconds

    def destroy(self, spec: EndpointSpec) -> tuple[Step, ...]:
        return destroy.destroy_deployment(Client(spec), spec)


TARGET: Target[Settings, Place] = AzureML()
