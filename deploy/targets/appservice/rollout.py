"""Carrying a decision out, write by write.

With a slot production goes on with what it runs until the new version is proved: then the two
change places. Without one production is changed, and changed back if anything is wrong. Whatever is
interrupted, a new plan goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from deploy import console, pausing
from deploy.errors import DeployError
from deploy.model import Image, Spec
from deploy.targets.appservice import decide, errors, naming, state
from deploy.targets.appservice.changed import changed
from deploy.targets.appservice.client import Client
from deploy.targets.appservice.decide import Auth, Decision, Fix
from deploy.targets.appservice.naming import PRODUCTION, VOLATILE, Record
from deploy.targets.appservice.settings import settings_of
from deploy.targets.appservice.state import Site, World
from deploy.targets.appservice.swapping import AFTER_SWAP, Swap, put_back
from deploy.targets.appservice.wanted import HEALTH
from deploy.targets.appservice.warming import (
    UNAUTHORIZED,
    Say,
    Warming,
    asked,
    digest_of,
    name_of,
)
from deploy.targets.appservice.writes import RefusedError, Writer
from deploy.targets.base import Prove

TIME = "%Y-%m-%dT%H:%M:%SZ"


class BegunError(Exception):
    """A start has begun, and nobody wants to wait for it."""


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
        self._expected = decision.seen
        self._written: Record | None = None

    def run(self, prove: Prove, wait: bool) -> None:
        """Carry the decision out. Raises `DeployError`, or `BegunError` without `wait`."""
        self.look()
        if self.decision.sticky:
            self.write("settings that stay", lambda: self.writer.sticky([*self.decision.sticky]))
        for fix in self.decision.fixes:
            self._fix(fix)
        if not self.decision.deploys:
            return
        if self.decision.in_place:
            self._in_place(prove)
        else:
            self._by_slot(prove, wait)

    def look(self) -> World:
        """Look again. Raises `ChangedError` where somebody else has changed production."""
        world = self.client.look()
        if decide.seen(world.production) != self._expected:
            raise changed(self.client.where)
        return world

    def write(self, what: str, action: Callable[[], object]) -> None:
        """Do one write. Raises `DeployError`."""
        try:
            action()
        except RefusedError as error:
            raise errors.refused(self.spec, error.said, what) from None

    def _fix(self, fix: Fix) -> None:
        """Put right what is not as configured. How callers are let in comes first."""
        if not fix.needed:
            return
        name = fix.site
        site = self._site(self.look(), name)
        with console.phase("configure", state.where(self.spec, site)):
            if fix.auth is not None:
                auth = fix.auth
                self.write("authentication", lambda: self.writer.auth(name, auth))
            if fix.properties:
                self.write(name, lambda: self.writer.properties(name, fix.properties))
            if fix.web:
                self.write("configuration", lambda: self.writer.web(name, fix.web))
            if fix.settings:
                given = {**site.settings, **fix.settings}
                together = {n: text for n, text in given.items() if text is not None}
                self.write("settings", lambda: self.writer.settings(name, together))
                if name == PRODUCTION:
                    self._expected = (site.image, state.fingerprint(together))
            if fix.start:
                self.write(name, lambda: self.writer.start(name))

    def _by_slot(self, prove: Prove, wait: bool) -> None:
        world = self.look()
        site = self._site(world, self.decision.goes)
        with console.phase("slot", f"{site.name}: {naming.shown(naming.reference(self.image))}"):
            warming = self._warming(site)
            found, begun = self._begin(site, world)
        if begun and not wait:
            raise BegunError
        with console.phase("warm-up", state.where(self.spec, site)) as shown:
            warming.until(found, self._headers(), shown.now)
            warming.closed()
        with console.phase("prove", f"{site.name}: scoring {self.spec.flow.sample.name}"):
            prove(site.url, self._headers())
        world = self.look()
        coming = self._site(world, site.name)
        if coming.record != found:
            # What was proved is not what would be swapped.
            raise changed(state.where(self.spec, coming))
        Swap(self.client, self.writer, self.spec, world.production, coming).run(
            lambda say: self._verify(world.production, found, prove, say)
        )
        self._settle()

    def _begin(self, site: Site, world: World) -> tuple[Record, bool]:
        """Let the slot start the new version, unless it does; return its record, and if it did not.

        What did not start before is written once more: a role or a secret that was missing may be
        there now, and only a change makes the service read its references again. So is what
        started with an earlier key.
        """
        record = site.record
        if self.decision.staged and record:
            told = asked(site.url, self._headers())
            young = age(record.at) < settings_of(self.spec).start_time_limit
            if told == name_of(record) or (young and not told.startswith(UNAUTHORIZED)):
                return record, False
        return self._put(site, world), True

    def _verify(self, before: Site, found: Record, prove: Prove, say: Say) -> None:
        """Prove production, which has the new version since a moment ago."""
        warming = Warming(self.client, self.spec, before, "")
        warming.until(found, self._headers(), say, AFTER_SWAP)
        warming.closed()
        prove(before.url, self._headers())

    def _in_place(self, prove: Prove) -> None:
        world = self.look()
        before = world.production
        warming = self._warming(before)
        try:
            with console.phase("production", naming.shown(naming.reference(self.image))) as shown:
                found = self._put(before, world)
                warming.until(found, self._headers(), shown.now)
                warming.closed()
            with console.phase("prove", f"scoring {self.spec.flow.sample.name}"):
                prove(before.url, self._headers())
        except BaseException:
            with pausing.putting_right():
                self._put_back(before)
            raise

    def _put(self, site: Site, world: World) -> Record:
        """Give a site the image and the settings. The settings first: no moment without a key."""
        by, at = self.client.arm.who(), now()
        found = decide.record(self.spec, self.image, world, self.decision.wanted, by, at)
        content = decide.content(self.spec, world, site, self.decision.wanted)
        web = {"linuxFxVersion": naming.reference(self.image), "healthCheckPath": HEALTH}
        name = site.name
        self._written = found
        self.write("settings", lambda: self.writer.settings(name, {**content, **found.settings}))
        self.write("configuration", lambda: self.writer.web(name, web))
        return found

    def _put_back(self, before: Site) -> None:
        """Let production run again what it ran before, unless somebody else has changed it."""
        there = self.client.look().production
        if self._written is None or there.record != self._written:
            return
        console.note("production", f"back to {naming.shown(before.image) or 'what it was'}")
        # What others have set meanwhile stays.
        ours = {*self._written.names, *(before.record.names if before.record else ()), *VOLATILE}
        kept = {name: text for name, text in there.settings.items() if name not in ours}
        again = {name: text for name, text in before.settings.items() if name in ours}
        try:
            put_back(self.writer, replace(before, settings={**kept, **again}))
            if before.record:
                with console.phase("warm-up", f"{self.client.where}: {before.record.tag}") as shown:
                    warming = Warming(self.client, self.spec, before, digest_of(before.image))
                    warming.until(before.record, self._headers(), shown.now)
        except RefusedError as error:
            console.note("production", f"that did not work ({error}); `inv status` shows it")
        except DeployError as error:
            # The first failure is what the user must see.
            console.note("production", f"it does not answer again: {error.problems[0].what}")

    def _settle(self) -> None:
        """Put right what a swap does not carry, and what was of the version before alone."""
        world = self.client.look()
        found = decide.fix(
            self.spec, world, world.production, self.decision.wanted, NOTHING, deploys=False
        )
        there = world.production.settings
        leaving = {name: None for name in self.decision.leaving if name in there}
        self._expected = decide.seen(world.production)
        self._fix(replace(found, settings={**found.settings, **leaving}))

    def _warming(self, site: Site) -> Warming:
        digest = (self.image.digest or "").removeprefix("sha256:")
        return Warming(self.client, self.spec, site, digest)

    def _site(self, world: World, name: str) -> Site:
        return next(site for site in world.sites if site.name == name)


NOTHING: Auth = {}


def age(at: str) -> float:
    """Return the seconds since a time as records have it; for none, as if it were long ago."""
    try:
        then = datetime.strptime(at, TIME).replace(tzinfo=UTC)
    except ValueError:
        return float("inf")
    return (datetime.now(UTC) - then).total_seconds()


def now() -> str:
    """Return the time as records have it."""
    return datetime.now(UTC).strftime(TIME)
