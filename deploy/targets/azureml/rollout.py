"""Carry out a decision, write by write.

The previous version keeps all traffic until the new version is verified, and gets it back if
anything fails. After an interruption, a new plan continues from the state that is left.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from deploy.config.target import SmokeTest
from deploy.core import interrupts, progress
from deploy.core.entities import Image, Spec
from deploy.core.errors import DeployError
from deploy.targets.azureml import diff, naming, operations, prechecks, provision, scoring, traffic
from deploy.targets.azureml.autoscale_rules import API as SCALING_API
from deploy.targets.azureml.autoscale_rules import build_rule, rule_id
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.diff import CREATE, KEEP, Decision
from deploy.targets.azureml.provision import OperationPending
from deploy.targets.azureml.rollout_state import ConflictError, RolloutState
from deploy.targets.azureml.settings import settings_of
from deploy.targets.azureml.state import Endpoint, Version


class Rollout:
    """One deployment of one spec."""

    def __init__(
        self,
        client: Client,
        spec: Spec,
        image: Image,
        decision: Decision,
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        self._attempt = RolloutState(client, spec, image, decision)
        self._spec, self._client = spec, client
        self._headers = headers
        self._before: dict[str, int] = {}

    @property
    def _decision(self) -> Decision:
        return self._attempt.decision

    def run(self, prove: SmokeTest, wait: bool) -> None:
        """Carry out the decision. Raise `DeployError`, or `OperationPending` without `wait`."""
        endpoint = self._ensure_endpoint(wait)
        self._attempt.resolve_identity(endpoint)
        self._before = {name: share for name, share in endpoint.traffic.items() if share}
        try:
            if self._decision.version_action == CREATE:
                provision.start_deployment(
                    self._attempt, self._decision.endpoint_action == CREATE, wait
                )
            else:
                provision.resume_deployment(self._attempt, wait)
            self._scale()
            self._apply_autoscale_rule()
            self._prove(prove)
            self._shift_traffic()
        except ConflictError:
            raise
        except DeployError:
            self._restore_traffic()
            if self._decision.version_action == CREATE and not self._has_traffic():
                provision.discard_deployment(self._attempt)
            raise
        except BaseException:
            # Interrupted: keep the new version, so that the next run continues with it.
            with interrupts.uninterruptible():
                self._restore_traffic()
            raise
        self._remove_obsolete_versions()

    def _ensure_endpoint(self, wait: bool) -> Endpoint:
        existing = self._attempt.recheck_state().endpoint
        owner_tags = {
            naming.FLOW_TAG: self._spec.flow.name,
            naming.ENVIRONMENT_TAG: self._spec.environment,
        }
        resource = self._client.where
        if self._decision.endpoint_action == KEEP and existing:
            return existing
        auth = settings_of(self._spec).auth
        with progress.phase("endpoint", resource) as phase:
            if existing is None:
                tags = {**owner_tags, naming.CREATED_TAG: "yes"}
                self._attempt.write_with_retries(
                    lambda: self._attempt.writer.create_endpoint(tags), auth=auth
                )
            else:
                endpoint = existing
                tags = {**existing.tags, **owner_tags}
                change = {"auth": auth, "tags": tags}
                write = functools.partial(self._attempt.writer.update_endpoint, endpoint, **change)
                self._attempt.write_with_retries(write, auth=auth)
            self._attempt.confirm_write()
            if not wait:
                raise OperationPending
            try:
                return operations.wait_for_endpoint(
                    self._client, phase.update, lambda e: e.auth == auth
                )
            except operations.OperationFailed as error:
                raise self._attempt.explain_error(error.azure_error, resource) from None

    def _scale(self) -> None:
        """Set the number of instances of an existing deployment."""
        observed = self._attempt.recheck_state()
        version = observed.find_version(self._decision.name)
        count = self._decision.instance_count
        if version is None or count is None or version.count == count:
            return
        with progress.phase("scale", f"{version.name}: {version.count} to {count}") as phase:
            self._set_instance_count(version, count)
            provision.wait_for_deployment(
                self._attempt, phase.update, lambda updated: updated.count == count
            )

    def _set_instance_count(self, version: Version, count: int) -> None:
        write = functools.partial(
            self._attempt.writer.put_deployment, version.name, self._decision.desired
        )
        self._attempt.write_with_retries(functools.partial(write, count, version.tags))

    def _apply_autoscale_rule(self) -> None:
        """Create, update or remove the deployment's autoscale rule."""
        action = self._decision.autoscale_action
        name = self._decision.name
        if action in ("create", "change"):
            observed = self._attempt.recheck_state()
            version, autoscale = observed.find_version(name), settings_of(self._spec).autoscale
            if version is None or autoscale is None:
                return
            location = observed.workspace.location
            body = build_rule(autoscale, version.id, self._client.path, location)
            rule_path = rule_id(self._client.group, self._client.name, name)
            self._client.arm.put(rule_path, SCALING_API, body)
        elif action == "remove":
            prechecks.delete_autoscale_rule(self._client, name)

    def _prove(self, prove: SmokeTest) -> None:
        """Score the new version, selected by a request header, before it gets any traffic."""
        if not self._decision.traffic_steps and self._decision.version_action == KEEP:
            return
        name = self._decision.name
        with progress.phase("prove", f"{name}: scoring {self._spec.flow.sample.name}") as phase:
            url, headers = self._read_url(), self._version_headers(name)
            provision.wait_for_route(
                self._attempt,
                lambda: self._probe(url, headers),
                lambda: scoring.fetch_content_tag(url, headers),
                name,
                phase.update,
            )
            prove(url, headers)

    def _shift_traffic(self) -> None:
        """Shift the traffic to the new version step by step, and watch each step."""
        settings, name = settings_of(self._spec), self._decision.name
        is_only_version = not traffic.exclude_version(self._before, name)
        if self._decision.mirror_percent:
            with progress.phase("mirror", f"{self._decision.mirror_percent} % to {name}") as phase:
                self._set_traffic(self._before, {name: self._decision.mirror_percent}, phase.update)
                self._watch(settings.soak, phase.update)
        for shares in self._decision.traffic_steps:
            with progress.phase("traffic", traffic.format_shares(shares)) as phase:
                self._set_traffic(shares, {}, phase.update)
                if not is_only_version:
                    self._watch(settings.soak, phase.update)
        if not self._decision.traffic_steps and self._attempt.expected.mirror:
            with progress.phase("mirror", "none") as phase:
                self._set_traffic(self._before, {}, phase.update)

    def _watch(self, seconds: float, report: operations.ReportProgress) -> None:
        url, headers = self._read_url(), self._version_headers(self._decision.name)
        guards = settings_of(self._spec).guards
        reason = scoring.watch_probes(lambda: self._probe(url, headers), guards, seconds, report)
        if reason:
            message = f"{self._decision.name} is taken back: {reason}"
            hint = "correct the flow, or the guards in deploy.yaml"
            raise self._attempt.with_lines(DeployError(self._client.where, message, hint))

    def _set_traffic(
        self,
        shares: Mapping[str, int],
        mirror: Mapping[str, int],
        report: operations.ReportProgress,
    ) -> None:
        endpoint = self._attempt.recheck_state().endpoint
        if endpoint is None:
            raise ConflictError(self._client.where, "it is gone", "deploy again")
        tags = {
            **endpoint.tags,
            naming.FLOW_TAG: self._spec.flow.name,
            naming.ENVIRONMENT_TAG: self._spec.environment,
            naming.SHARES_TAG: naming.encode_shares(shares),
            naming.SINCE_TAG: naming.utc_timestamp(),
            naming.PREVIOUS_TAG: self._decision.previous_version,
        }

        def put() -> None:
            self._attempt.writer.update_endpoint(endpoint, traffic=shares, mirror=mirror, tags=tags)

        desired_shares, desired_mirror = (
            diff.normalize_shares(shares),
            diff.normalize_shares(mirror),
        )
        self._attempt.write_with_retries(put, traffic=desired_shares, mirror=desired_mirror)
        try:
            operations.wait_for_endpoint(
                self._client,
                report,
                lambda e: (
                    (diff.normalize_shares(e.traffic), diff.normalize_shares(e.mirror))
                    == (desired_shares, desired_mirror)
                ),
            )
        except operations.OperationFailed as error:
            raise self._attempt.explain_error(error.azure_error, "traffic") from None
        self._attempt.confirm_write()

    def _restore_traffic(self) -> None:
        """Return all traffic to the previous versions if the new version may have got any."""
        previous_shares = traffic.exclude_version(self._before, self._decision.name)
        unmoved = (diff.normalize_shares(previous_shares), ())
        if not previous_shares or all(
            (possible_state.traffic, possible_state.mirror) == unmoved
            for possible_state in self._attempt.possible_states
        ):
            return
        progress.note("traffic", f"back to {traffic.format_shares(previous_shares)}")
        try:
            self._set_traffic(previous_shares, {}, lambda _: None)
        except Exception as error:  # the user must see the first failure, not this one
            hint = f"`inv plan {self._spec.options}` shows what is there"
            progress.note("traffic", f"that did not work ({error}); {hint}")

    def _remove_obsolete_versions(self) -> None:
        for name in self._decision.obsolete_versions:
            observed = self._attempt.recheck_state()
            version = observed.find_version(name)
            if version is not None and not observed.traffic.get(name):
                self._remove_version(version)

    def _remove_version(self, version: Version) -> None:
        name = version.name
        with progress.phase("remove", f"deployment {name}") as phase:
            prechecks.delete_autoscale_rule(self._client, name)
            self._attempt.delete_deployment(name)
            operations.wait_until_deleted(
                self._client, lambda: self._client.read_version(name), phase.update
            )

    def _has_traffic(self) -> bool:
        return any(
            self._decision.name in dict(possible_state.traffic)
            for possible_state in self._attempt.possible_states
        )

    def _read_url(self) -> str:
        endpoint = self._client.read_endpoint()
        if endpoint is None or not endpoint.url:
            raise DeployError(
                self._client.where, "it has no address", f"`inv status {self._spec.options}`"
            )
        return base_url(endpoint)

    def _version_headers(self, name: str) -> dict[str, str]:
        return {**self._headers(), scoring.DEPLOYMENT_HEADER: name}

    def _probe(self, url: str, headers: Mapping[str, str]) -> scoring.Probe:
        return scoring.probe(self._spec, url, headers)


def base_url(endpoint: Endpoint) -> str:
    """Return the endpoint's address without /score."""
    return endpoint.url.removesuffix("/score")
