"""State of a rollout: which observed state to expect before each write, and the writes themselves.

It detects concurrent changes. If Azure's response to a write was lost, the result of that write is
unknown until a read shows it. See "Unconfirmed writes" in docs/targets/azureml.md for a diagram.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import replace

from deploy.azure import diagnosis, writes
from deploy.azure.errors import AzureError
from deploy.core import interrupts
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.targets.azureml import desired, diff, errors, naming, operations
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.diff import Decision, StateFingerprint
from deploy.targets.azureml.errors import ErrorContext
from deploy.targets.azureml.settings import EndpointSpec
from deploy.targets.azureml.state import Endpoint, ObservedState
from deploy.targets.azureml.writer import Writer
from deploy.targets.rollout import conflict_error, utc_timestamp

RETRYABLE = (errors.CANCELED, diagnosis.CONFLICT)


class RolloutState:
    """The state of one rollout of one spec."""

    def __init__(
        self, client: Client, spec: EndpointSpec, image: Image, decision: Decision
    ) -> None:
        self.client, self.writer = client, Writer(spec)
        self.spec, self.image, self.decision = spec, image, decision
        self._by = client.arm.get_principal_name()
        # The planned state plus this rollout's own writes. While the result of the last write is
        # unknown, `_possible` is the state with that write, `expected` the one without.
        self.expected: StateFingerprint = decision.fingerprint
        self._possible: StateFingerprint | None = None

    def resolve_identity(self, endpoint: Endpoint) -> None:
        """Update the desired state with the client ID of the endpoint's identity."""
        desired_state = desired.build_desired_state(self.spec, self.image, endpoint)
        self.decision = replace(self.decision, desired=desired_state)

    def recheck(self) -> ObservedState:
        """Read the state again, once no operation is in progress.

        Raise `ConflictError` if it differs from the expected state.
        """
        observed = self.client.read_state()
        if not observed.is_settled:
            operations.wait_until_settled(self.client)
            observed = self.client.read_state()
        current = diff.fingerprint(observed.endpoint, observed.versions)
        if current == self._possible:
            self.confirm_write()
        changes = diff.describe_changes(self.expected, current)
        if changes:
            raise conflict_error(self.client.where, self.spec.options, changes)
        return observed

    def register_write(self, **changes: object) -> bool:
        """Register an upcoming write; return whether its effect is observable."""
        possible = replace(self.expected, **changes)  # type: ignore[arg-type]
        self._possible = possible if possible != self.expected else None
        return self._possible is not None

    def confirm_write(self) -> None:
        """Record that the registered write was carried out."""
        self.expected, self._possible = self._possible or self.expected, None

    @property
    def possible_states(self) -> list[StateFingerprint]:
        """Return the possible states: as expected, and with a write whose result is unknown."""
        return [self.expected, *([self._possible] if self._possible else [])]

    def expected_versions(self, name: str, present: bool) -> tuple[tuple[str, str, str], ...]:
        """Return the versions to expect after creating or deleting the deployment `name`."""
        others = [version for version in self.expected.versions if version[0] != name]
        desired_state = self.decision.desired
        version = (name, str(desired_state.image), desired_state.instance_type.lower())
        return tuple(sorted([*others, *([version] if present else [])]))

    def deployment_tags(self) -> dict[str, str]:
        """Return the tags of a new deployment."""
        return naming.deployment_tags(self.spec, self.image, self._by, utc_timestamp())

    def write_with_retries(self, write: Callable[[], None], **changes: object) -> None:
        """Carry out a write with observable `changes`; retry if another operation is in progress.

        If Azure's response was lost, a conflict on retry may be the write itself: it counts as done
        if its effect is visible. Raise `DeployError`.
        """
        is_observable = self.register_write(**changes)

        def is_retryable(error: AzureError) -> bool:
            # Status 0: whether Azure accepted the write is unknown, and a retry is safe.
            category = errors.diagnose(error, self.error_context()).category
            return error.status == 0 or category in RETRYABLE

        def is_done() -> bool:
            self.recheck()
            return is_observable and self._possible is None

        with writes.explained(lambda error: self.explain_error(error, self.client.name)):
            writes.submit_with_retries(write, is_retryable, self.pause, is_done)

    def delete_deployment(self, name: str) -> None:
        """Start to delete a deployment. Raise `DeployError`."""
        write = functools.partial(self.writer.delete_deployment, name)
        self.write_with_retries(write, versions=self.expected_versions(name, False))
        self.confirm_write()

    def pause(self) -> None:
        """Pause before a retry, until another operation may have ended."""
        interrupts.pause(6 * self.client.poll_seconds)

    def explain_error(self, azure_error: AzureError, operation: str) -> DeployError:
        """Return the `DeployError` for an error of Azure; `operation` names the operation."""
        return errors.diagnose(azure_error, self.error_context()).to_error(operation)

    def error_context(self) -> ErrorContext:
        """Return the names that error messages mention."""
        endpoint = None
        with contextlib.suppress(DeployError):
            endpoint = self.client.read_endpoint()
        object_ids = ", ".join(endpoint.principals) if endpoint else ""
        identity_suffix = f" (object {object_ids})" if object_ids else ""
        return ErrorContext(
            instance_type=self.decision.desired.instance_type,
            registry=f"the registry {(self.spec.place.registry or '').partition('/')[0]}",
            identity=f"the endpoint's identity{identity_suffix}",
            workspace=f"the workspace {self.spec.place.workspace}",
            options=self.spec.options,
        )
