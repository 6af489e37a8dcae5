"""One instance of a deployment: a real container, and the probes that are asked of it.

Documented: CLI (v2) managed online deployment YAML schema, "ProbeSettings"; Kubernetes, "Configure
Liveness, Readiness and Startup Probes", by which they go. Assumed: a container that ends, or whose
liveness probe fails, before it was ready for the first time, is not tried again, as the service does
for some minutes; afterwards it is restarted.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import docker.errors
from docker.models.containers import Container

from tests.emulator import engine
from tests.emulator.engine import Engine
from tests.emulator.ml.bodies import seconds
from tests.emulator.ml.errors import FailedError, canceled, crashed, not_ready
from tests.emulator.pace import Pace
from tests.emulator.server import HOST

LEAST_TIMEOUT = 1.0
LEAST_PERIOD = 0.05
# Between two looks at a container that is not ready.
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Route:
    """A path and a port of a container."""

    path: str
    port: int


@dataclass(frozen=True)
class Plan:
    """What an instance is made from: an image by its id, and the deployment's settings."""

    name: str
    image: str
    variables: Mapping[str, str]
    routes: Mapping[str, Route]
    properties: Mapping[str, Any]


class Probe:
    """One of the two probes: when it is due, and how often in a row it went one way or the other."""

    def __init__(self, name: str, route: Route, settings: Mapping[str, Any], pace: Pace) -> None:
        self.name = name
        self.route = route
        self._settings = settings
        self._pace = pace
        self.begin()

    def begin(self) -> None:
        """Start anew, as for a container that was just started."""
        self.started = time.monotonic()
        self.passes = self.failures = 0
        self.why = ""
        self.due = self.started + self._pace.seconds(seconds(self._settings["initialDelay"]))

    def ask(self, port: int) -> None:
        """Ask once."""
        timeout = self._pace.seconds(seconds(self._settings["timeout"]), LEAST_TIMEOUT)
        connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
        try:
            connection.request("GET", self.route.path)
            status = connection.getresponse().status
            self.why = "" if 200 <= status < 400 else f"HTTP status {status}"
        except (OSError, http.client.HTTPException) as error:
            self.why = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        self.passes, self.failures = (0, self.failures + 1) if self.why else (self.passes + 1, 0)
        self.due = time.monotonic() + self._pace.seconds(
            seconds(self._settings["period"]), LEAST_PERIOD
        )

    @property
    def passed(self) -> bool:
        """Whether it has passed often enough."""
        return self.passes >= int(self._settings["successThreshold"])

    @property
    def failed(self) -> bool:
        """Whether it has failed often enough to count."""
        early = time.monotonic() - self.started < self._pace.allowed
        return self.failures >= int(self._settings["failureThreshold"]) and not early


class Instance:
    """A container under watch.

    `restarts` counts how often the watch has restarted it, `in_flight` the requests that it works on.
    """

    def __init__(
        self, engine: Engine, plan: Plan, pace: Pace, crash_code: str, failures: list[str]
    ) -> None:
        self._failures = failures
        self._crash_code = crash_code
        self._closing = threading.Event()
        self._decided = threading.Event()
        self._error: FailedError | None = None
        self._published: dict[int, int] = {}
        properties = plan.properties
        self.plan = plan
        self.ready = False
        self.restarts = 0
        self.in_flight = 0
        self.last_logs = ""
        self._liveness = Probe(
            "liveness", plan.routes["liveness"], properties["livenessProbe"], pace
        )
        self._readiness = Probe(
            "readiness", plan.routes["readiness"], properties["readinessProbe"], pace
        )
        ports = {route.port for route in plan.routes.values()}
        self.container: Container = engine.create(plan.image, plan.name, plan.variables, ports)
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Start the container, and watch it."""
        self.container.start()
        self._started()
        self._thread.start()

    def wait(self) -> None:
        """Wait until it is ready for the first time. Raises `FailedError`."""
        self._decided.wait()
        if self._error:
            raise self._error

    def port(self, route: str) -> int:
        """Return the port on this machine of `liveness`, `readiness` or `scoring`."""
        return self._published.get(self.plan.routes[route].port, 0)

    def logs(self) -> str:
        """Return what the container has printed, also after its end."""
        with contextlib.suppress(docker.errors.APIError):
            self.last_logs = self.container.logs().decode("utf-8", "replace")
        return self.last_logs

    def close(self) -> None:
        """Remove the container; its logs stay."""
        self._closing.set()
        if self._thread.ident:
            self._thread.join()
        self.ready = False
        self.logs()
        engine.remove(self.container)

    def _started(self) -> None:
        # With every start it gets other ports of this machine.
        self.container.reload()
        found = self.container.attrs["NetworkSettings"]["Ports"] or {}
        self._published = {
            int(key.split("/")[0]): int(bound[0]["HostPort"])
            for key, bound in found.items()
            if bound
        }
        self._liveness.begin()
        self._readiness.begin()

    def _watch(self) -> None:
        try:
            while not self._closing.is_set():
                for probe in (self._liveness, self._readiness):
                    if time.monotonic() >= probe.due:
                        probe.ask(self._published.get(probe.route.port, 0))
                goes_on = self._again(crashed(self._crash_code)) if self._ended() else self._judge()
                if not goes_on:
                    return
                first = min(self._liveness.due, self._readiness.due) - time.monotonic()
                self._closing.wait(max(0.0, first if self.ready else min(first, LOOK_SECONDS)))
        except docker.errors.NotFound as error:
            # Somebody has removed it: an instance that is lost.
            self._fail(FailedError("InternalServerError", str(error)))
        except Exception:
            if not self._closing.is_set():
                self._failures.append(traceback.format_exc())
        finally:
            self.ready = False
            if not self._decided.is_set():
                self._fail(canceled())

    def _judge(self) -> bool:
        """Decide on what the probes said; return whether to go on."""
        live, ready = self._liveness, self._readiness
        if live.failed:
            return self._again(not_ready(live.name, live.why))
        if ready.failed and not self._decided.is_set():
            self._fail(not_ready(ready.name, ready.why))
            return False
        if ready.passed and live.failures == 0:
            self.ready = True
            self._decided.set()
        elif ready.failed:
            self.ready = False
        return True

    def _again(self, error: FailedError) -> bool:
        """Restart the container if it was ready once, else fail; return whether to go on."""
        self.ready = False
        if not self._decided.is_set():
            self._fail(error)
            return False
        self.restarts += 1
        self.container.restart(timeout=0)
        self._started()
        return True

    def _fail(self, error: FailedError) -> None:
        self._error = error
        self._decided.set()

    def _ended(self) -> bool:
        if self.ready and not (self._liveness.why or self._readiness.why):
            # It answers, so that the engine need not be asked.
            return False
        self.container.reload()
        return self.container.status in ("exited", "dead")
