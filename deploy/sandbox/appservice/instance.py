"""One start of a slot: pull the image, run a real container, and request it until it answers.

Documented: "Environment variables and app settings in Azure App Service" (WEBSITE_WARMUP_PATH, by
default /robots933456.txt, is requested repeatedly until a response of any status, even 502, or of
one of WEBSITE_WARMUP_STATUSES; WEBSITES_CONTAINER_START_TIME_LIMIT ends it), "Configure a custom
container" (WEBSITES_PORT). Recorded: a container that exits fails the start at once.
"""

from __future__ import annotations

import http.client
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.sandbox.appservice.platform_log import PlatformLog
from deploy.sandbox.container_instance import ContainerInstance
from deploy.sandbox.container_platform import Services
from deploy.sandbox.https_server import HOST
from deploy.sandbox.identities import Identity
from deploy.sandbox.image_pull import ImageUnavailableError, PullDeniedError
from deploy.sandbox.time_scale import TimeScale

PING_SECONDS = 2
PING_INTERVAL = 0.1
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


class Instance(ContainerInstance):
    """A container of a slot."""

    def __init__(
        self, services: Services, pace: TimeScale, recipe: ContainerConfig, log: PlatformLog
    ) -> None:
        super().__init__(services.engine)
        self._puller = services.puller
        self._pace = pace
        self._log = log
        self.recipe = recipe
        self.name = f"{recipe.site}_0_{uuid.uuid4().hex[:8]}"

    @property
    def port(self) -> int:
        """The port on this machine that serves, 0 if the container has exited."""
        return self.find_port(self.recipe.port)

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
        recipe = self.recipe
        self.run_container(image, recipe.site, recipe.variables, {recipe.port})
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

    def close(self) -> None:
        """Remove the container; keep its output in the log."""
        self._log.add_container_output(self.output())
        super().close()

    @property
    def _start_seconds(self) -> float:
        return max(self._pace.scale_seconds(self.recipe.limit), self._pace.failure_grace_seconds)

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

    def _say(self, lines: list[str], **values: str) -> None:
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
