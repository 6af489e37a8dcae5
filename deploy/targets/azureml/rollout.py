"""Carrying a decision out, write by write.

What served before has all requests until the new version is proved, and gets them back if anything
is wrong. Whatever is interrupted, a new plan goes on from there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone

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
    wanted,
)
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.decide import CREATE, KEEP, Decision, Seen
from deploy.targets.azureml.scaling import API as SCALING_API
from deploy.targets.azureml.scaling import document, path_of
from deploy.targets.azureml.settings import settings_of
from deploy.targets.azureml.starting import BegunError, ChangedError
from deploy.targets.azureml.state import Endpoint, Version, World
from deploy.targets.azureml.writes import Writer
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
        self.client, self.writer = client, Writer(spec)
        self.spec, self.image, self.decision = spec, image, decision
        self._headers = headers
        self._by = client.who()
        # What the world must look like before the next write: as planned, and with our own writes.
        # The last of them may have been done or not: then it may look like either.
        self._expected: Seen = decision.seen
        self._possible: Seen | None = None
        self._before: dict[str, int] = {}

    def run(self, prove: Prove, wait: bool) -> None:
        """Carry the decision out. Raises `DeployError`, or `BegunError` without `wait`."""
        endpoint = self._endpoint(wait)
        # What an endpoint that was just made knows: the client id of its identity.
        aim = wanted.of(self.spec, self.image, endpoint)
        self.decision = replace(self.decision, wanted=aim)
        self._before = {name: share for name, share in endpoint.traffic.items() if share}
        try:
            if self.decision.version == CREATE:
                starting.start(self, self.decision.endpoint == CREATE, wait)
            else:
                starting.go_on(self, wait)
            self._scale()
            self._rule()
            self._prove(prove)
            self._move()
        except ChangedError:
            raise
        except DeployError:
            self._take_back()
            if self.decision.version == CREATE and not self._serves():
                starting.discard(self)
            raise
        except BaseException:
            # Interrupted: the new version stays, so that the next run goes on with it.
            with pausing.putting_right():
                self._take_back()
            raise
        self._remove()

    def look(self) -> World:
        """Look again, once nothing is under way. Raises `ChangedError` if somebody changed it."""
        world = self.client.look()
        if not decide.settled(world):
            waiting.until_settled(self.client)
            world = self.client.look()
        now = decide.seen(world.endpoint, world.versions)
        if now == self._possible:
            self.confirm()
        what = decide.changed(self._expected, now)
        if what:
            hint = "`inv plan` shows what is there; then deploy again"
            raise ChangedError(self.client.where, f"somebody else changed it: {what}", hint)
        return world

    def intend(self, **changes: object) -> bool:
        """Know of a write of our own that comes now; whether one can see that it was done."""
        possible = replace(self._expected, **changes)  # type: ignore[arg-type]
        self._possible = possible if possible != self._expected else None
        return self._possible is not None

    def confirm(self) -> None:
        """Know that the write that was intended was done."""
        self._expected, self._possible = self._possible or self._expected, None

    @property
    def is_certain(self) -> bool:
        """Whether the last write is known to have been done."""
        return self._possible is None

    def versions(self, name: str, present: bool) -> tuple[tuple[str, str, str], ...]:
        """Return what is expected once we have made or removed the deployment `name`."""
        rest = [one for one in self._expected.versions if one[0] != name]
        aim = self.decision.wanted
        own = [(name, str(aim.image), aim.instance_type.lower())] if present else []
        return tuple(sorted([*rest, *own]))

    def tags(self) -> dict[str, str]:
        """Return the tags of a new deployment."""
        return naming.tags_of(self.spec, self.image, self._by, now())

    def _endpoint(self, wait: bool) -> Endpoint:
        found = self.look().endpoint
        own = {naming.FLOW: self.spec.flow.name, naming.ENVIRONMENT: self.spec.environment}
        what = self.client.where
        if self.decision.endpoint == KEEP and found:
            return found
        auth = settings_of(self.spec).auth
        with console.phase("endpoint", what) as shown:
            if found is None:
                tags = {**own, naming.MADE: "yes"}
                starting.accept(self, lambda: self.writer.create_endpoint(tags), auth=auth)
            else:
                endpoint = found
                tags = {**found.tags, **own}
                change = {"auth": auth, "tags": tags}
                write = functools.partial(self.writer.change_endpoint, endpoint, **change)
                starting.accept(self, write, auth=auth)
            self.confirm()
            if not wait:
                raise BegunError
            try:
                return waiting.for_endpoint(self.client, shown.now, lambda e: e.auth == auth)
            except waiting.FailedError as error:
                raise starting.explained(self, error.said, what) from None

    def _scale(self) -> None:
        """Give a deployment that stays the number of instances that it should have."""
        world = self.look()
        version = world.version(self.decision.name)
        count = self.decision.scale
        if version is None or count is None or version.count == count:
            return
        with console.phase("scale", f"{version.name}: {version.count} to {count}") as shown:
            self._put(version, count)
            starting.finish(self, shown.now, lambda found: found.count == count)

    def _put(self, version: Version, count: int) -> None:
        write = functools.partial(self.writer.put_deployment, version.name, self.decision.wanted)
        starting.accept(self, functools.partial(write, count, version.tags))

    def _rule(self) -> None:
        """Give the deployment its autoscale rule, or take it away."""
        rule = self.decision.rule
        name = self.decision.name
        if rule in ("create", "change"):
            world = self.look()
            version, autoscale = world.version(name), settings_of(self.spec).autoscale
            if version is None or autoscale is None:
                return
            location = world.workspace.location
            body = document(autoscale, version.id, self.client.path, location)
            path = path_of(self.client.group, self.client.name, name)
            self.client.put(path, SCALING_API, body)
        elif rule == "remove":
            survey.remove_rule(self.client, name)

    def _prove(self, prove: Prove) -> None:
        """Score the new version by its header, before anybody else does."""
        if not self.decision.ramp and self.decision.version == KEEP:
            return
        name = self.decision.name
        with console.phase("prove", f"{name}: scoring {self.spec.flow.sample.name}") as shown:
            url, headers = self._address(), self._to(name)
            starting.reach(
                self,
                lambda: self._shot(url, headers),
                lambda: scoring.version(url, headers),
                name,
                shown.now,
            )
            prove(url, headers)

    def _move(self) -> None:
        """Move the requests over, step by step, and watch."""
        settings, name = settings_of(self.spec), self.decision.name
        alone = not traffic.without(self._before, name)
        if self.decision.mirror:
            with console.phase("mirror", f"{self.decision.mirror} % to {name}") as shown:
                self._shares(self._before, {name: self.decision.mirror}, shown.now)
                self._watch(settings.soak, shown.now)
        for shares in self.decision.ramp:
            with console.phase("traffic", traffic.shown(shares)) as shown:
                self._shares(shares, {}, shown.now)
                if not alone:
                    self._watch(settings.soak, shown.now)
        if not self.decision.ramp and self._expected.mirror:
            with console.phase("mirror", "none") as shown:
                self._shares(self._before, {}, shown.now)

    def _watch(self, seconds: float, say: waiting.Say) -> None:
        url, headers = self._address(), self._to(self.decision.name)
        guards = settings_of(self.spec).guards
        reason = scoring.watch(lambda: self._shot(url, headers), guards, seconds, say)
        if reason:
            what = f"{self.decision.name} is taken back: {reason}"
            hint = "`inv logs` tells what runs; correct the flow, or the guards in deploy.yaml"
            raise DeployError(self.client.where, what, hint)

    def _shares(
        self, shares: Mapping[str, int], mirror: Mapping[str, int], say: waiting.Say
    ) -> None:
        endpoint = self.look().endpoint
        if endpoint is None:
            raise ChangedError(self.client.where, "it is gone", "deploy again")
        tags = {
            **endpoint.tags,
            naming.FLOW: self.spec.flow.name,
            naming.ENVIRONMENT: self.spec.environment,
            naming.SHARES: naming.shares_text(shares),
            naming.SINCE: now(),
            naming.PREVIOUS: self.decision.previous,
        }

        def put() -> None:
            self.writer.change_endpoint(endpoint, traffic=shares, mirror=mirror, tags=tags)

        meant, copies = decide.shares(shares), decide.shares(mirror)
        starting.accept(self, put, traffic=meant, mirror=copies)
        try:
            waiting.for_endpoint(
                self.client,
                say,
                lambda e: (decide.shares(e.traffic), decide.shares(e.mirror)) == (meant, copies),
            )
        except waiting.FailedError as error:
            raise starting.explained(self, error.said, "traffic") from None
        self.confirm()

    def _take_back(self) -> None:
        """Give what served before all requests again, if the new version may have got any."""
        back = traffic.without(self._before, self.decision.name)
        unmoved = (decide.shares(back), ())
        if not back or all((one.traffic, one.mirror) == unmoved for one in self._maybe()):
            return
        console.note("traffic", f"back to {traffic.shown(back)}")
        try:
            self._shares(back, {}, lambda _: None)
        except Exception as error:  # the first failure is what the user must see
            console.note("traffic", f"that did not work ({error}); `inv plan` shows what is there")

    def _remove(self) -> None:
        for name in self.decision.remove:
            world = self.look()
            version = world.version(name)
            if version is not None and not world.traffic.get(name):
                self._remove_one(version)

    def _remove_one(self, version: Version) -> None:
        name = version.name
        with console.phase("remove", f"deployment {name}") as shown:
            survey.remove_rule(self.client, name)
            starting.remove(self, name)
            waiting.until_gone(self.client, lambda: self.client.version(name), shown.now)

    def _serves(self) -> bool:
        return any(self.decision.name in dict(one.traffic) for one in self._maybe())

    def _maybe(self) -> list[Seen]:
        """Return how it may be."""
        return [self._expected, *([self._possible] if self._possible else [])]

    def _address(self) -> str:
        endpoint = self.client.endpoint()
        if endpoint is None or not endpoint.url:
            raise DeployError(self.client.where, "it has no address", "`inv status`")
        return base_of(endpoint)

    def _to(self, name: str) -> dict[str, str]:
        return {**self._headers(), scoring.HEADER: name}

    def _shot(self, url: str, headers: Mapping[str, str]) -> scoring.Shot:
        return scoring.shoot(self.spec, url, headers)


def base_of(endpoint: Endpoint) -> str:
    """Return the address before /score."""
    return endpoint.url.removesuffix("/score")


def now() -> str:
    """Return the time as tags have it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
