"""One start of a slot: pull the image, run a real container, and request it until it answers.

Documented: "Environment variables and app settings in Azure App Service" (WEBSITE_WARMUP_PATH, by
default /robots933456.txt, is requested repeatedly until a response of any status, even 502, or of
one of WEBSITE_WARMUP_STATUSES; WEBSITES_CONTAINER_START_TIME_LIMIT ends it), "Configure a custom
container" (WEBSITES_PORT). Recorded: a container that exits fails the start at once.
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

from deploy.sandbox import engine
from deploy.sandbox.appservice.platform_log import PlatformLog
from deploy.sandbox.engine import Engine
from deploy.sandbox.https_server import HOST
from deploy.sandbox.identities import Identity
from deploy.sandbox.image_pull import ImagePuller, ImageUnavailableError, PullDeniedError
from deploy.sandbox.time_scale import TimeScale

PING_SECONDS = 2
PING_INTERVAL = 0.1
DRAIN_SECONDS = 30
UNAUTHORIZED = (
    "unauthorized: authentication required, visit https://aka.ms/acr/authorization for more "
    "information."
)


class StartError(Exception):
    """A slot's container did not start."""


@dataclass(frozen=True)
class WarmUpPing:
    """A path to request."""

    path: str
    # The status codes to accept; empty for all.
    statuses: frozenset[int] = frozenset()

    def ask(self, port: int) -> int:
        """Send one request; return the status code, 0 without a response."""
        connection = http.client.HTTPConnection(HOST, port, timeout=PING_SECONDS)
        try:
            connection.request("GET", self.path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def accepts(self, status: int) -> bool:
        """Return whether a status code is accepted."""
        return bool(status) and (not self.statuses or status in self.statuses)


@dataclass(frozen=True)
class ContainerConfig:
    """The configuration of a container."""

    site: str
    image: str
    identities: list[Identity]
    variables: Mapping[str, str] = field(repr=False)
    port: int
    # Seconds to start, in time of the real service.
    limit: int
    ping: WarmUpPing


class Instance:
    """A container of a slot. `in_flight` is the number of requests in progress."""

    def __init__(
        self,
        engine: Engine,
        puller: ImagePuller,
        pace: TimeScale,
        recipe: ContainerConfig,
        log: PlatformLog,
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
        """Start the container; return once it answers. Raise `StartError`."""
        wording = self._log.wording
        self._say(wording.pulling)
        try:
            image = self._puller.pull(self.recipe.image, self.recipe.identities)
        except PullDeniedError:
            self._say(wording.pull_failed, why=UNAUTHORIZED)
            raise StartError("the image may not be pulled") from None
        except ImageUnavailableError as error:
            self._say(wording.pull_failed, why=str(error))
            raise StartError("the image cannot be pulled") from None
        self._say(wording.pulled)
        self._run(image)
        self._say(wording.starting)
        self._wait(cancelled)
        self._say(wording.started)

    def warm_up(self, ping: WarmUpPing) -> bool:
        """Send requests until there is a response; return whether it is accepted."""
        deadline = time.monotonic() + self._start_seconds
        while time.monotonic() < deadline and not self.exit_code():
            if status := ping.ask(self.port):
                return ping.accepts(status)
            time.sleep(PING_INTERVAL)
        return False

    @contextlib.contextmanager
    def mark_in_use(self) -> Iterator[None]:
        """Keep `drain` from removing the container inside the block."""
        with self._idle:
            self.in_flight += 1
        try:
            yield
        finally:
            with self._idle:
                self.in_flight -= 1
                self._idle.notify_all()

    def drain(self) -> None:
        """Remove the container once its requests in progress are answered."""
        with self._idle:
            self._idle.wait_for(lambda: not self.in_flight, DRAIN_SECONDS)
        self.close()

    def exit_code(self) -> str:
        """Return the container's exit code, empty while it runs."""
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
        """Return what the container has printed, with a time before each line."""
        container = self.container
        with contextlib.suppress(docker.errors.APIError):
            if container:
                return container.logs(timestamps=True).decode("utf-8", "replace")
        return ""

    def close(self) -> None:
        """Remove the container; keep its output in the log."""
        if self.container is not None:
            self._log.add_container_output(self.output())
            engine.remove_container(self.container)
            self.container = None

    @property
    def _start_seconds(self) -> float:
        return max(self._pace.scale_seconds(self.recipe.limit), self._pace.failure_grace_seconds)

    def _run(self, image: str) -> None:
        recipe = self.recipe
        self.container = self._engine.create(image, recipe.site, recipe.variables, {recipe.port})
        self.container.start()
        self.container.reload()
        bindings = (self.container.attrs["NetworkSettings"]["Ports"] or {}).get(
            f"{recipe.port}/tcp"
        )
        # There are no bindings if the container has exited already.
        self.port = int(bindings[0]["HostPort"]) if bindings else 0

    def _wait(self, cancelled: threading.Event) -> None:
        wording = self._log.wording
        deadline = time.monotonic() + self._start_seconds
        while not self.recipe.ping.accepts(self.recipe.ping.ask(self.port) if self.port else 0):
            if cancelled.is_set():
                raise StartError("something else is to be started")
            if code := self.exit_code():
                # The log has the container's output before the line about its end.
                self.close()
                self._say(wording.exited, code=code)
                raise StartError("the container has ended")
            if time.monotonic() > deadline:
                self._say(wording.timed_out)
                raise StartError("the container does not answer")
            cancelled.wait(PING_INTERVAL)

    def _say(self, lines: tuple[str, ...], **values: str) -> None:
        recipe = self.recipe
        self._log.add_platform_lines(
            *lines,
            site=recipe.site,
            image=recipe.image,
            container=self.name,
            port=recipe.port,
            limit=recipe.limit,
            **values,
        )
