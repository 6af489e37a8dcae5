"""State of a rollout: which observed state to expect before each write, and the writes themselves.

It detects concurrent changes. The result of a write is unknown if Azure's response was lost.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import replace

from deploy.azure.errors import AzureError
from deploy.core import interrupts
from deploy.core.entities import Image, Spec
from deploy.core.errors import DeployError
from deploy.targets.azureml import desired, diff, errors, naming, operations
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.diff import Decision, StateFingerprint
from deploy.targets.azureml.mutations import Writer, WriteRejected
from deploy.targets.azureml.state import Endpoint, ObservedState

# Attempts for a write if another operation is in progress or cancels it.
MAX_ATTEMPTS = 4
RETRYABLE = (errors.CANCELED, errors.CONFLICT)
ERROR_LOG_LINES = 20


class ConflictError(DeployError):
    """The observed state changed after the plan was made.

    Nothing is rolled back, because the changes are not this rollout's.
    """


class RolloutState:
    """The state of one rollout of one spec."""

    def __init__(self, client: Client, spec: Spec, image: Image, decision: Decision) -> None:
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

    def recheck_state(self) -> ObservedState:
        """Read the state again, once no operation is in progress.

        Raise `ConflictError` if it differs from the expected state.
        """
        observed = self.client.read_state()
        if not diff.is_settled(observed):
            operations.wait_until_settled(self.client)
            observed = self.client.read_state()
        current = diff.fingerprint(observed.endpoint, observed.versions)
        if current == self._possible:
            self.confirm_write()
        changes = diff.describe_changes(self.expected, current)
        if changes:
            hint = f"`inv plan {self.spec.options}` shows what is there; then deploy again"
            raise ConflictError(self.client.where, f"somebody else changed it: {changes}", hint)
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
    def is_certain(self) -> bool:
        """Return whether the result of the last write is known."""
        return self._possible is None

    def expected_versions(self, name: str, present: bool) -> tuple[tuple[str, str, str], ...]:
        """Return the versions to expect after creating or deleting the deployment `name`."""
        others = [version for version in self.expected.versions if version[0] != name]
        desired_state = self.decision.desired
        expected = (
            [(name, str(desired_state.image), desired_state.instance_type.lower())]
            if present
            else []
        )
        return tuple(sorted([*others, *expected]))

    def deployment_tags(self) -> dict[str, str]:
        """Return the tags of a new deployment."""
        return naming.deployment_tags(self.spec, self.image, self._by, naming.utc_timestamp())

    @property
    def possible_states(self) -> list[StateFingerprint]:
        """Return the possible states: as expected, and with a write whose result is unknown."""
        return [self.expected, *([self._possible] if self._possible else [])]

    def write_with_retries(self, write: Callable[[], None], **changes: object) -> None:
        """Carry out a write with observable `changes`; retry if another operation is in progress.

        If Azure's response was lost, a conflict on retry may be the write itself: it counts as done
        if its effect is visible. Raise `DeployError`.
        """
        is_observable = self.register_write(**changes)
        for number in range(1, MAX_ATTEMPTS + 1):
            try:
                write()
                return
            except WriteRejected as error:
                category = errors.diagnose(error.azure_error, self.error_context()).category
                # Status 0: whether Azure accepted the write is unknown, and a retry is safe.
                is_unknown = error.azure_error.status == 0
                if number == MAX_ATTEMPTS or not (category in RETRYABLE or is_unknown):
                    raise self.explain_error(error.azure_error, self.client.name) from None
            interrupts.pause(
                6 * (self.client.arm.cloud.polling_interval or operations.POLL_SECONDS)
            )
            self.recheck_state()
            if is_observable and self.is_certain:
                return

    def delete_deployment(self, name: str) -> None:
        """Start to delete a deployment. Raise `DeployError`."""
        write = functools.partial(self.writer.delete_deployment, name)
        self.write_with_retries(write, versions=self.expected_versions(name, False))
        self.confirm_write()

    def explain_error(
        self, azure_error: AzureError, operation: str, lines: bool = False
    ) -> DeployError:
        """Return the `DeployError` for an error of Azure; `operation` names the operation.

        With `lines`, it includes the container's last log lines.
        """
        diagnosis = errors.diagnose(azure_error, self.error_context())
        deploy_error = DeployError(f"Azure, {operation}", diagnosis.what, diagnosis.hint)
        return self.with_lines(deploy_error) if lines else deploy_error

    def error_context(self) -> errors.ErrorContext:
        """Return the names that error messages mention."""
        endpoint = None
        with contextlib.suppress(DeployError):
            endpoint = self.client.read_endpoint()
        object_ids = ", ".join(endpoint.principals) if endpoint else ""
        identity_suffix = f" (object {object_ids})" if object_ids else ""
        return errors.ErrorContext(
            instance_type=self.decision.desired.instance_type,
            registry=f"the registry {(self.spec.place.registry or '').partition('/')[0]}",
            identity=f"the endpoint's identity{identity_suffix}",
            workspace=f"the workspace {self.spec.place.workspace}",
            options=self.spec.options,
        )

    def with_lines(self, error: DeployError) -> DeployError:
        """Return `error` with the container's last log lines, secrets masked."""
        problem = error.problems[0]
        try:
            lines = self.client.read_log(self.decision.name, ERROR_LOG_LINES)
        except DeployError:
            return error
        text = "\n".join(lines).strip()
        for name in self.spec.secrets:
            value = self.spec.variables.get(name)
            text = text.replace(value, "***") if value else text
        if not text:
            return error
        return DeployError(
            problem.where, f"{problem.what}\n  its last lines:\n{text}", problem.hint
        )
