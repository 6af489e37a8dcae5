"""Carrying a decision out, write by write.

What served before has all requests until the new version is proved, and gets them back if anything
is wrong. Whatever is interrupted, a new plan goes on from there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from deploy import console, pausing
from deploy.errors import DeployError
from deploy.model import Image, Spec
from deploy.targets.azureml import (
    decide,
    naming,
    scoring,
    starting,
    survey,
    traffic,
    waiting,
)
from deploy.targets.azureml.attempt import Attempt, ChangedError
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.decide import CREATE, KEEP, Decision
from deploy.targets.azureml.scaling import API as SCALING_API
from deploy.targets.azureml.scaling import document, path_of
from deploy.targets.azureml.settings import settings_of
from deploy.targets.azureml.starting import BegunError
from deploy.targets.azureml.state import Endpoint, Version
from deploy.targets.base import Prove


class Rollout:
    """One deploy of one spec."""

    def __init__(
        self,
        client: Client,
        spec: Spec,
        image: Image,
        decision: Decision,
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        self._attempt = Attempt(client, spec, image, decision)
        self._spec, self._client = spec, client
        self._headers = headers
        self._before: dict[str, int] = {}

    @property
    def _decision(self) -> Decision:
        return self._attempt.decision

    def run(self, prove: Prove, wait: bool) -> None:
        """Carry the decision out. Raises `DeployError`, or `BegunError` without `wait`."""
        endpoint = self._endpoint(wait)
        self._attempt.aim(endpoint)
        self._before = {name: share for name, share in endpoint.traffic.items() if share}
        try:
            if self._decision.version == CREATE:
                starting.start(self._attempt, self._decision.endpoint == CREATE, wait)
            else:
                starting.go_on(self._attempt, wait)
            self._scale()
            self._rule()
            self._prove(prove)
            self._move()
        except ChangedError:
            raise
        except DeployError:
            self._take_back()
            if self._decision.version == CREATE and not self._serves():
                starting.discard(self._attempt)
            raise
        except BaseException:
            # Interrupted: the new version stays, so that the next run goes on with it.
            with pausing.putting_right():
                self._take_back()
            raise
        self._remove()

    def _endpoint(self, wait: bool) -> Endpoint:
        found = self._attempt.look().endpoint
        own = {naming.FLOW: self._spec.flow.name, naming.ENVIRONMENT: self._spec.environment}
        what = self._client.where
        if self._decision.endpoint == KEEP and found:
            return found
        auth = settings_of(self._spec).auth
        with console.phase("endpoint", what) as shown:
            if found is None:
                tags = {**own, naming.MADE: "yes"}
                self._attempt.accept(lambda: self._attempt.writer.create_endpoint(tags), auth=auth)
            else:
                endpoint = found
                tags = {**found.tags, **own}
                change = {"auth": auth, "tags": tags}
                write = functools.partial(self._attempt.writer.change_endpoint, endpoint, **change)
                self._attempt.accept(write, auth=auth)
            self._attempt.confirm()
            if not wait:
                raise BegunError
            try:
                return waiting.for_endpoint(self._client, shown.now, lambda e: e.auth == auth)
            except waiting.FailedError as error:
                raise self._attempt.explained(error.said, what) from None

    def _scale(self) -> None:
        """Give a deployment that stays the number of instances that it should have."""
        world = self._attempt.look()
        version = world.version(self._decision.name)
        count = self._decision.scale
        if version is None or count is None or version.count == count:
            return
        with console.phase("scale", f"{version.name}: {version.count} to {count}") as shown:
            self._put(version, count)
            starting.finish(self._attempt, shown.now, lambda found: found.count == count)

    def _put(self, version: Version, count: int) -> None:
        write = functools.partial(
            self._attempt.writer.put_deployment, version.name, self._decision.wanted
        )
        self._attempt.accept(functools.partial(write, count, version.tags))

    def _rule(self) -> None:
        """Give the deployment its autoscale rule, or take it away."""
        rule = self._decision.rule
        name = self._decision.name
        if rule in ("create", "change"):
            world = self._attempt.look()
            version, autoscale = world.version(name), settings_of(self._spec).autoscale
            if version is None or autoscale is None:
                return
            location = world.workspace.location
            body = document(autoscale, version.id, self._client.path, location)
            path = path_of(self._client.group, self._client.name, name)
            self._client.arm.put(path, SCALING_API, body)
        elif rule == "remove":
            survey.remove_rule(self._client, name)

    def _prove(self, prove: Prove) -> None:
        """Score the new version by its header, before anybody else does."""
        if not self._decision.ramp and self._decision.version == KEEP:
            return
        name = self._decision.name
        with console.phase("prove", f"{name}: scoring {self._spec.flow.sample.name}") as shown:
            url, headers = self._address(), self._to(name)
            starting.reach(
                self._attempt,
                lambda: self._shot(url, headers),
                lambda: scoring.version(url, headers),
                name,
                shown.now,
            )
            prove(url, headers)

    def _move(self) -> None:
        """Move the requests over, step by step, and watch."""
        settings, name = settings_of(self._spec), self._decision.name
        alone = not traffic.without(self._before, name)
        if self._decision.mirror:
            with console.phase("mirror", f"{self._decision.mirror} % to {name}") as shown:
                self._shares(self._before, {name: self._decision.mirror}, shown.now)
                self._watch(settings.soak, shown.now)
        for shares in self._decision.ramp:
            with console.phase("traffic", traffic.shown(shares)) as shown:
                self._shares(shares, {}, shown.now)
                if not alone:
                    self._watch(settings.soak, shown.now)
        if not self._decision.ramp and self._attempt.expected.mirror:
            with console.phase("mirror", "none") as shown:
                self._shares(self._before, {}, shown.now)

    def _watch(self, seconds: float, say: waiting.Say) -> None:
        url, headers = self._address(), self._to(self._decision.name)
        guards = settings_of(self._spec).guards
        reason = scoring.watch(lambda: self._shot(url, headers), guards, seconds, say)
        if reason:
            what = f"{self._decision.name} is taken back: {reason}"
            hint = "correct the flow, or the guards in deploy.yaml"
            raise self._attempt.with_lines(DeployError(self._client.where, what, hint))

    def _shares(
        self, shares: Mapping[str, int], mirror: Mapping[str, int], say: waiting.Say
    ) -> None:
        endpoint = self._attempt.look().endpoint
        if endpoint is None:
            raise ChangedError(self._client.where, "it is gone", "deploy again")
        tags = {
            **endpoint.tags,
            naming.FLOW: self._spec.flow.name,
            naming.ENVIRONMENT: self._spec.environment,
            naming.SHARES: naming.shares_text(shares),
            naming.SINCE: naming.now(),
            naming.PREVIOUS: self._decision.previous,
        }

        def put() -> None:
            self._attempt.writer.change_endpoint(endpoint, traffic=shares, mirror=mirror, tags=tags)

        meant, copies = decide.shares(shares), decide.shares(mirror)
        self._attempt.accept(put, traffic=meant, mirror=copies)
        try:
            waiting.for_endpoint(
                self._client,
                say,
                lambda e: (decide.shares(e.traffic), decide.shares(e.mirror)) == (meant, copies),
            )
        except waiting.FailedError as error:
            raise self._attempt.explained(error.said, "traffic") from None
        self._attempt.confirm()

    def _take_back(self) -> None:
        """Give what served before all requests again, if the new version may have got any."""
        back = traffic.without(self._before, self._decision.name)
        unmoved = (decide.shares(back), ())
        if not back or all((one.traffic, one.mirror) == unmoved for one in self._attempt.outcomes):
            return
        console.note("traffic", f"back to {traffic.shown(back)}")
        try:
            self._shares(back, {}, lambda _: None)
        except Exception as error:  # the first failure is what the user must see
            look = f"`inv plan {self._spec.options}` shows what is there"
            console.note("traffic", f"that did not work ({error}); {look}")

    def _remove(self) -> None:
        for name in self._decision.remove:
            world = self._attempt.look()
            version = world.version(name)
            if version is not None and not world.traffic.get(name):
                self._remove_one(version)

    def _remove_one(self, version: Version) -> None:
        name = version.name
        with console.phase("remove", f"deployment {name}") as shown:
            survey.remove_rule(self._client, name)
            self._attempt.remove(name)
            waiting.until_gone(self._client, lambda: self._client.version(name), shown.now)

    def _serves(self) -> bool:
        return any(self._decision.name in dict(one.traffic) for one in self._attempt.outcomes)

    def _address(self) -> str:
        endpoint = self._client.endpoint()
        if endpoint is None or not endpoint.url:
            raise DeployError(
                self._client.where, "it has no address", f"`inv status {self._spec.options}`"
            )
        return base_of(endpoint)

    def _to(self, name: str) -> dict[str, str]:
        return {**self._headers(), scoring.HEADER: name}

    def _shot(self, url: str, headers: Mapping[str, str]) -> scoring.Shot:
        return scoring.shoot(self._spec, url, headers)


def base_of(endpoint: Endpoint) -> str:
    """Return the address before /score."""
    return endpoint.url.removesuffix("/score")
