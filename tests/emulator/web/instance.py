"""One start of a slot: the image is pulled, a real container is made of it, and asked until it answers.

Documented: "Environment variables and app settings in Azure App Service" (WEBSITE_WARMUP_PATH is asked,
/robots933456.txt by default, again and again until an answer, of any status, even 502, or of one of
WEBSITE_WARMUP_STATUSES; WEBSITES_CONTAINER_START_TIME_LIMIT is the end of it), "Configure a custom
container" (WEBSITES_PORT). Recorded: a container that ends has failed at once.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import docker.errors
from docker.models.containers import Container

from tests.emulator import engine
from tests.emulator.engine import Engine
from tests.emulator.identities import Identity
from tests.emulator.pace import Pace
from tests.emulator.pull import DeniedError, Puller, UnavailableError
from tests.emulator.server import HOST
from tests.emulator.web.platform_log import PlatformLog

PING_SECONDS = 2
BETWEEN = 0.1
DRAIN_SECONDS = 30
UNAUTHORIZED = (
    "unauthorized: authentication required, visit https://aka.ms/acr/authorization for more "
    "information."
)


class StartError(Exception):
    """A slot's container did not start."""


@dataclass(frozen=True)
class Ping:
    """A path to ask, and the statuses that will do; without any, all do."""

    path: str
    statuses: frozenset[int] = frozenset()

    def ask(self, port: int) -> int:
        """Ask once; return the status, 0 if there is no answer."""
        connection = http.client.HTTPConnection(HOST, port, timeout=PING_SECONDS)
        try:
            connection.request("GET", self.path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def accepts(self, status: int) -> bool:
        """Whether an answer will do."""
        return bool(status) and (not self.statuses or status in self.statuses)


@dataclass(frozen=True)
class Recipe:
    """What a container is made from. `limit` is in seconds of the service."""

    site: str
    image: str
    identities: list[Identity]
    variables: Mapping[str, str] = field(repr=False)
    port: int
    limit: int
    ping: Ping


class Instance:
    """A container of a slot; `in_flight` are the requests that it works on."""

    def __init__(
        self, engine: Engine, puller: Puller, pace: Pace, recipe: Recipe, log: PlatformLog
    ) -> None:
        self._engine = engine
        self._puller = puller
        self._pace = pace
        self._log = log
        self._idle = threading.Condition()
        self.recipe = recipe
        self.name = f"{recipe.site}_0_{uuid.uuid4().hex[:8]}"
        self.container: Container | None = None
        self.port = 0
        self.in_flight = 0

    def start(self, cancelled: threading.Event) -> None:
        """Return once the container answers. Raises `StartError`."""
        wording = self._log.wording
        self._say(wording.pulling)
        try:
            image = self._puller.pull(self.recipe.image, self.recipe.identities)
        except DeniedError:
            self._say(wording.pull_failed, why=UNAUTHORIZED)
            raise StartError("the image may not be pulled") from None
        except UnavailableError as error:
            self._say(wording.pull_failed, why=str(error))
            raise StartError("the image cannot be pulled") from None
        self._say(wording.pulled)
        self._run(image)
        self._say(wording.starting)
        self._wait(cancelled)
        self._say(wording.started)

    def warm_up(self, ping: Ping) -> bool:
        """Ask until there is an answer; return whether it will do."""
        until = time.monotonic() + self._limit
        while time.monotonic() < until and not self.exit_code():
            if status := ping.ask(self.port):
                return ping.accepts(status)
            time.sleep(BETWEEN)
        return False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep it from being closed by `retire` inside of the block."""
        with self._idle:
            self.in_flight += 1
        try:
            yield
        finally:
            with self._idle:
                self.in_flight -= 1
                self._idle.notify_all()

    def retire(self) -> None:
        """Remove the container once it has answered what it was asked."""
        with self._idle:
            self._idle.wait_for(lambda: not self.in_flight, DRAIN_SECONDS)
        self.close()

    def exit_code(self) -> str:
        """Return the code with which the container has ended, nothing while it runs."""
        container = self.container
        try:
            if container:
                container.reload()
        except docker.errors.NotFound:
            container = None
        if container is None:
            return "137"
        ended = container.status in ("exited", "dead")
        return str(container.attrs["State"]["ExitCode"]) if ended else ""

    def output(self) -> str:
        """Return what the container has printed, the time before each line."""
        container = self.container
        with contextlib.suppress(docker.errors.APIError):
            if container:
                return container.logs(timestamps=True).decode("utf-8", "replace")
        return ""

    def close(self) -> None:
        """Remove the container; what it printed stays in the log."""
        if self.container is not None:
            self._log.keep(self.output())
            engine.remove(self.container)
            self.container = None

    @property
    def _limit(self) -> float:
        return max(self._pace.seconds(self.recipe.limit), self._pace.allowed)

    def _run(self, image: str) -> None:
        recipe = self.recipe
        self.container = self._engine.create(image, recipe.site, recipe.variables, {recipe.port})
        self.container.start()
        self.container.reload()
        found = (self.container.attrs["NetworkSettings"]["Ports"] or {}).get(f"{recipe.port}/tcp")
        # None for a container that has ended already.
        self.port = int(found[0]["HostPort"]) if found else 0

    def _wait(self, cancelled: threading.Event) -> None:
        wording = self._log.wording
        until = time.monotonic() + self._limit
        while not self.recipe.ping.accepts(self.recipe.ping.ask(self.port) if self.port else 0):
            if cancelled.is_set():
                raise StartError("something else is to be started")
            if code := self.exit_code():
                # What it printed is in the log before that it ended.
                self.close()
                self._say(wording.exited, code=code)
                raise StartError("the container has ended")
            if time.monotonic() > until:
                self._say(wording.timed_out)
                raise StartError("the container does not answer")
            cancelled.wait(BETWEEN)

    def _say(self, lines: tuple[str, ...], **values: str) -> None:
        recipe = self.recipe
        self._log.say(
            *lines,
            site=recipe.site,
            image=recipe.image,
            container=self.name,
            port=recipe.port,
            limit=recipe.limit,
            **values,
        )
