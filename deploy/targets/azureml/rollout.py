"""Deploy a version to an endpoint, write by write.

The previous version keeps all traffic until the new version is verified, and gets it back if
anything fails. After an interruption, a new plan continues from the state that is left.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from deploy.azure import writes
from deploy.config.target import SmokeTest
from deploy.core import progress
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.targets.azureml import (
    autoscale,
    diff,
    naming,
    operations,
    probes,
    provision,
    traffic,
)
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.diff import CREATE, KEEP, Decision
from deploy.targets.azureml.rollout_state import RolloutState
from deploy.targets.azureml.settings import EndpointSpec, Place, Settings
from deploy.targets.azureml.state import Endpoint, Version
from deploy.targets.rollout import (
    ConflictError,
    OperationPending,
    ReportProgress,
    Rollout,
    utc_timestamp,
)


class EndpointRollout(Rollout[Settings, Place]):
    """One deployment of one spec."""

    def __init__(
        self,
        client: Client,
        decision: Decision,
        spec: EndpointSpec,
        image: Image,
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        super().__init__(spec, image, headers)
        self._client, self._state = client, RolloutState(client, spec, image, decision)
        # The traffic split before the rollout.
        self._before: dict[str, int] = {}

    @property
    def _decision(self) -> Decision:
        return self._state.decision

    def prepare(self, wait: bool) -> None:
        endpoint = self._ensure_endpoint(wait)
        self._state.resolve_identity(endpoint)
        self._before = {name: share for name, share in endpoint.traffic.items() if share}

    def start(self, wait: bool) -> None:
        if self._decision.version_action == CREATE:
            is_new_endpoint = self._decision.endpoint_action == CREATE
            provision.start_deployment(self._state, is_new_endpoint, wait)
        else:
            provision.resume_deployment(self._state, wait)
        self._scale()
        self._apply_autoscale_rule()

    def verify(self, smoke_test: SmokeTest) -> None:
        """Score the new version, selected by a request header, before it gets any traffic."""
        if not self._decision.traffic_steps and self._decision.version_action == KEEP:
            return
        name = self._decision.name
        with progress.phase("verify", f"{name}: scoring {self.spec.flow.sample.name}") as phase:
            url, headers = self._read_url(), self._version_headers()
            provision.wait_for_route(
                self._state,
                lambda: probes.probe(self.spec, url, headers),
                lambda: probes.fetch_content_tag(url, headers),
                phase.update,
            )
            smoke_test(url, headers)

    def move_clients(self, smoke_test: SmokeTest) -> None:
        """Shift the traffic to the new version step by step, and watch each step."""
        settings, decision = self.spec.settings, self._decision
        is_only_version = not traffic.exclude_version(self._before, decision.name)
        if decision.mirror_percent:
            percent = decision.mirror_percent
            with progress.phase("mirror", f"{percent} % to {decision.name}") as phase:
                self._set_traffic(self._before, {decision.name: percent}, phase.update)
                self._watch(settings.soak, phase.update)
        for shares in decision.traffic_steps:
            with progress.phase("traffic", traffic.format_shares(shares)) as phase:
                self._set_traffic(shares, {}, phase.update)
                if not is_only_version:
                    self._watch(settings.soak, phase.update)
        if not decision.traffic_steps and self._state.expected.mirror:
            with progress.phase("mirror", "none") as phase:
                self._set_traffic(self._before, {}, phase.update)

    def restore(self, has_failed: bool) -> None:
        self._restore_traffic()
        name = self._decision.name
        may_have_traffic = any(name in dict(s.traffic) for s in self._state.possible_states)
        if has_failed and self._decision.version_action == CREATE and not may_have_traffic:
            provision.discard_deployment(self._state)

    def clean_up(self) -> None:
        for name in self._decision.obsolete_versions:
            observed = self._state.recheck()
            if observed.find_version(name) and not observed.traffic.get(name):
                with progress.phase("remove", f"deployment {name}") as phase:
                    self._client.delete_autoscale_rule(name)
                    self._state.delete_deployment(name)
                    operations.wait_until_version_deleted(self._client, name, phase.update)

    def read_log(self, tail: int) -> list[str]:
        return self._client.read_log(self._decision.name, tail)

    def _ensure_endpoint(self, wait: bool) -> Endpoint:
        existing = self._state.recheck().endpoint
        if self._decision.endpoint_action == KEEP and existing:
            return existing
        auth, resource = self.spec.settings.auth, self._client.where
        tags = naming.owner_tags(self.spec)
        with progress.phase("endpoint", resource) as phase:
            if existing is None:
                tags = {**tags, naming.CREATED_TAG: "yes"}
                write = functools.partial(self._state.writer.create_endpoint, tags)
            else:
                change = {"auth": auth, "tags": {**existing.tags, **tags}}
                write = functools.partial(self._state.writer.update_endpoint, existing, **change)
            self._state.write_with_retries(write, auth=auth)
            self._state.confirm_write()
            if not wait:
                raise OperationPending
            with writes.explained(lambda error: self._state.explain_error(error, resource)):
                return operations.wait_for_endpoint(
                    self._client, phase.update, lambda endpoint: endpoint.auth == auth
                )

    def _scale(self) -> None:
        """Set the number of instances of an existing deployment."""
        version = self._state.recheck().find_version(self._decision.name)
        count = self._decision.instance_count
        if version is None or count is None or version.count == count:
            return
        with progress.phase("scale", f"{version.name}: {version.count} to {count}") as phase:
            self._set_instance_count(version, count)
            provision.wait_for_deployment(
                self._state, phase.update, lambda updated: updated.count == count
            )

    def _set_instance_count(self, version: Version, count: int) -> None:
        put = self._state.writer.put_deployment
        desired = self._decision.desired
        self._state.write_with_retries(
            functools.partial(put, version.name, desired, count, version.tags)
        )

    def _apply_autoscale_rule(self) -> None:
        """Create, update or remove the deployment's autoscale rule."""
        action, name = self._decision.autoscale_action, self._decision.name
        rule = self.spec.settings.autoscale
        if action == "remove":
            self._client.delete_autoscale_rule(name)
        elif rule and action in ("create", "change"):
            observed = self._state.recheck()
            version = observed.find_version(name)
            if version:
                body = autoscale.build_rule(
                    rule, version.id, self._client.path, observed.workspace.location
                )
                self._client.put_autoscale_rule(name, body)

    def _watch(self, seconds: float, report: ReportProgress) -> None:
        url, headers = self._read_url(), self._version_headers()
        guards = self.spec.settings.guards
        reason = probes.watch(
            lambda: probes.probe(self.spec, url, headers), guards, seconds, report
        )
        if reason:
            message = f"{self._decision.name} is rolled back: {reason}"
            hint = "correct the flow, or the guards in deploy.yaml"
            raise DeployError(self._client.where, message, hint)

    def _set_traffic(
        self, shares: Mapping[str, int], mirror: Mapping[str, int], report: ReportProgress
    ) -> None:
        endpoint = self._state.recheck().endpoint
        if endpoint is None:
            hint = f"`inv deploy {self.spec.options}`"
            raise ConflictError(self._client.where, "it does not exist any more", hint)
        tags = {
            **endpoint.tags,
            **naming.owner_tags(self.spec),
            **naming.traffic_tags(shares, utc_timestamp(), self._decision.previous_version),
        }
        desired = diff.normalize_shares(shares), diff.normalize_shares(mirror)
        self._state.write_with_retries(
            functools.partial(
                self._state.writer.update_endpoint,
                endpoint,
                traffic=shares,
                mirror=mirror,
                tags=tags,
            ),
            traffic=desired[0],
            mirror=desired[1],
        )
        with writes.explained(lambda error: self._state.explain_error(error, "traffic")):
            operations.wait_for_traffic(self._client, report, *desired)
        self._state.confirm_write()

    def _restore_traffic(self) -> None:
        """Return all traffic to the previous versions if the new version may have got any."""
        previous_shares = traffic.exclude_version(self._before, self._decision.name)
        unmoved = (diff.normalize_shares(previous_shares), ())
        if not previous_shares or all(
            (possible.traffic, possible.mirror) == unmoved
            for possible in self._state.possible_states
        ):
            return
        progress.note("traffic", f"back to {traffic.format_shares(previous_shares)}")
        try:
            self._set_traffic(previous_shares, {}, lambda _: None)
        except Exception as error:  # the user must see the first failure, not this one
            hint = f"`inv plan {self.spec.options}` shows the current state"
            progress.note("traffic", f"it could not be restored ({error}); {hint}")

    def _read_url(self) -> str:
        endpoint = self._client.read_endpoint()
        if endpoint is None or not endpoint.url:
            hint = f"`inv status {self.spec.options}`"
            raise DeployError(self._client.where, "it has no address", hint)
        return endpoint.base_url

    def _version_headers(self) -> dict[str, str]:
        return {**self.headers(), probes.DEPLOYMENT_HEADER: self._decision.name}
