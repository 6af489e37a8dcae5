"""Targets whose platform runs several versions side by side, each at an address of its own.

The order is written here once: a new version starts, is proved at its own address, then gets the
requests; the one before keeps running for the way back, and nothing else does. An extension says
what the platform does for each step (`Platform`). See docs/extending.md.
"""

from __future__ import annotations

import abc
import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from deploy import console, following, verify
from deploy.errors import DeployError, Problem
from deploy.model import Deployment, Image, Plan, Share, Spec, Step
from deploy.targets.base import Prove

# Of a log that is followed, and between two looks at it in seconds.
LINES, FOLLOWING = 300, 5.0
LAST_LINES = 20


@dataclass(frozen=True)
class Version:
    """A version that runs; `url` is its own address, also while it gets no requests.

    `name` begins with what `Platform.name_of` said, and /version tells `deployment`. `percent` is
    that of the requests: 0 for the version that had them before, None for one that never had any.
    """

    name: str
    deployment: str
    url: str
    image: Image
    auth: str
    created: str
    percent: int | None


@dataclass(frozen=True)
class World:
    """What runs, and the address where callers reach it."""

    url: str
    versions: Sequence[Version]

    @property
    def serving(self) -> Version | None:
        """The version that gets the requests, most of them where several do."""
        found = max(self.versions, key=lambda one: one.percent or 0, default=None)
        return found if found and found.percent else None

    @property
    def before(self) -> Version | None:
        """The version that got them before."""
        return next((one for one in self.versions if one.percent == 0), None)

    def named(self, name: str) -> Version | None:
        """Return the version of this name."""
        return next((one for one in self.versions if one.name == name), None)


class Platform(Protocol):
    """The place of one spec. Every method may raise `DeployError`; each returns when it is done."""

    where: str
    """Names it in messages, as `container app faq`."""
    pause: float
    """Seconds between two looks at a version that starts."""

    def look(self) -> World:
        """Return what runs. Reads only."""
        ...

    def name_of(self, image: Image) -> str:
        """Return how names begin of versions of `image` with the spec's settings. Reads only.

        The same settings, the same name; and another for any setting that is another.
        """
        ...

    def start(self, name: str, image: Image) -> None:
        """Start a version that gets no requests where another one serves."""
        ...

    def serve(self, name: str, before: str) -> None:
        """Send all requests to `name`, and none to `before`, which keeps running if it is one."""
        ...

    def stop(self, name: str) -> None:
        """Stop a version that gets no requests."""
        ...

    def log(self, name: str, tail: int) -> list[str]:
        """Return the last lines that a version said."""
        ...

    def remove(self) -> bool:
        """Remove all that was made here; tell whether there was anything."""
        ...


class SideBySide(abc.ABC):
    """What a target does with a `Platform`. Its `Settings` have a `start_timeout` in seconds."""

    @abc.abstractmethod
    def platform(self, spec: Spec) -> Platform:
        """Return the place of `spec`. Asks nobody."""

    @abc.abstractmethod
    def headers(self, spec: Spec) -> Mapping[str, str]:
        """Return what a request needs to be let in."""

    def engine(self, spec: Spec) -> str | None:
        return None

    def refusal(self, spec: Spec, status: int, headers: Mapping[str, str]) -> Problem | None:
        if status != 401:
            return None
        what = "the key is not accepted: the version that serves started with another"
        return Problem(self.platform(spec).where, what, "restart it, so that it gets this one")

    def plan(self, spec: Spec, image: Image) -> Plan:
        platform = self.platform(spec)
        serving, name = platform.look().serving, platform.name_of(image)
        before = serving.name if serving else ""
        if before.startswith(name):
            step = Step("keep", platform.where, before, before, "it serves already")
            return Plan(spec, image, (step,), before)
        # A key that nobody can read could not be proved to let anybody in.
        self.headers(spec)
        if serving is None:
            step = Step("create", platform.where, "", name, "nothing serves there")
        else:
            why = "other settings" if serving.image.tag == image.tag else "another image"
            step = Step("replace", platform.where, before, name, why)
        return Plan(spec, image, (step,), before)

    def apply(self, plan: Plan, prove: Prove, wait: bool = True) -> Deployment:
        spec, platform = plan.spec, self.platform(plan.spec)
        serving = platform.look().serving
        if plan.found != (serving.name if serving else ""):
            what = "somebody else changed it meanwhile"
            raise DeployError(platform.where, what, "`inv plan` shows what is there")
        if plan.changes:
            name = f"{platform.name_of(plan.image)}-{secrets.token_hex(2)}"
            try:
                self._roll_out(platform, plan, name, prove)
            except DeployError as error:
                raise error.with_lines(_abandoned(platform, name)) from None
            except BaseException:
                _abandoned(platform, name)
                raise
        for one in platform.look().versions:
            if one.percent is None:
                platform.stop(one.name)
        return self._found(spec)

    def rollback(self, spec: Spec) -> Deployment:
        platform = self.platform(spec)
        before, hint = platform.look().before, "check the earlier commit out, then `inv deploy`"
        if before is None:
            raise DeployError(platform.where, "no earlier version runs to go back to", hint)
        if before.auth != spec.settings.auth:
            asked = f"and deploy.yaml says {spec.settings.auth}"
            what = f"the earlier version lets callers in by {before.auth}, {asked}"
            raise DeployError(platform.where, what, hint)
        self._ready(platform, spec, before, before.url)
        self._serve(platform, spec, before)
        return self._found(spec)

    def status(self, spec: Spec) -> Deployment | None:
        world = self.platform(spec).look()
        now = world.serving
        if now is None:
            return None
        states = {
            one.name: "healthy" if verify.healthy(one.url) else "unhealthy"
            for one in world.versions
        }
        return Deployment(
            flow=spec.flow.name,
            environment=spec.environment,
            target=spec.target,
            state=states[now.name],
            url=world.url,
            auth=now.auth,
            image_id=now.image.id,
            tag=now.image.tag,
            commit=now.image.commit,
            created=now.created,
            name=now.name,
            digest=now.image.digest or "",
            shares=tuple(
                Share(
                    name=one.name,
                    percent=one.percent or 0,
                    state=states[one.name],
                    tag=one.image.tag,
                    commit=one.image.commit,
                    digest=one.image.digest or "",
                    since=one.created,
                )
                for one in world.versions
            ),
        )

    def logs(self, spec: Spec, tail: int, follow: bool = False) -> Iterator[str]:
        platform, name = self.platform(spec), self._found(spec).name
        yield from following.lines(lambda: platform.log(name, LINES), tail, follow, FOLLOWING)

    def destroy(self, spec: Spec) -> tuple[Step, ...]:
        platform = self.platform(spec)
        with console.phase("destroy", platform.where):
            return (Step("remove", platform.where),) if platform.remove() else ()

    def _roll_out(self, platform: Platform, plan: Plan, name: str, prove: Prove) -> None:
        spec = plan.spec
        with console.phase("start", name):
            platform.start(name, plan.image)
            new = platform.look().named(name)
            if new is None:
                raise DeployError(platform.where, f"{name} is gone", "deploy again")
            self._ready(platform, spec, new, new.url)
        with console.phase("prove", f"{name}: scoring {spec.flow.sample.name}"):
            prove(new.url, self.headers(spec))
        self._serve(platform, spec, new)

    def _serve(self, platform: Platform, spec: Spec, coming: Version) -> None:
        """Let a version serve; the one that did again where callers do not reach the new one."""
        world = platform.look()
        going, before = (one.name if one else "" for one in (world.serving, world.before))
        with console.phase("traffic", coming.name):
            platform.serve(coming.name, going)
            try:
                self._ready(platform, spec, coming, platform.look().url)
            except BaseException:
                if going:
                    platform.serve(going, before)
                raise

    def _ready(self, platform: Platform, spec: Spec, one: Version, url: str) -> None:
        """Wait until what answers at `url` is this version. Raises `DeployError`."""
        verify.ready(
            url,
            one.image,
            spec.settings.start_timeout,
            lambda: "",
            self.headers(spec),
            one.deployment,
            platform.pause,
        )

    def _found(self, spec: Spec) -> Deployment:
        found = self.status(spec)
        if found is None:
            raise DeployError(spec.name, "nothing is deployed", f"`inv deploy {spec.options}`")
        return found


def _abandoned(platform: Platform, name: str) -> list[str]:
    """Stop a version that could not be proved; return its last lines."""
    lines: list[str] = []
    # What went wrong first is what the user must see.
    with contextlib.suppress(DeployError):
        lines = platform.log(name, LAST_LINES)
    with contextlib.suppress(DeployError):
        platform.stop(name)
    return lines
