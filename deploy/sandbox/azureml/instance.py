"""One instance of a deployment: a real container and its probes.

Documented: CLI (v2) managed online deployment YAML schema, "ProbeSettings"; Kubernetes, "Configure
Liveness, Readiness and Startup Probes", which the probes follow. Assumed: a container that exits or
fails its liveness probe before it was ready once is not retried, unlike in the real service, which
retries for some minutes; afterwards it is restarted.
"""

from __future__ import annotations

import http.client
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import docker.errors

from deploy.sandbox.arm_errors import ArmError
from deploy.sandbox.azureml.errors import (
    canceled_error,
    container_crashed_error,
    operation_error,
    probe_failed_error,
)
from deploy.sandbox.azureml.request_bodies import parse_duration
from deploy.sandbox.container_instance import ContainerInstance
from deploy.sandbox.engine import Engine
from deploy.sandbox.https_server import HOST
from deploy.sandbox.time_scale import TimeScale

LEAST_TIMEOUT = 1.0
LEAST_PERIOD = 0.05
# Between two checks of a container that is not ready.
CHECK_SECONDS = 0.1


@dataclass(frozen=True)
class Route:
    """A path and a port of a container."""

    path: str
    port: int


@dataclass(frozen=True)
class InstanceConfig:
    """The configuration of an instance."""

    name: str
    # The image's id.
    image: str
    variables: Mapping[str, str]
    routes: Mapping[str, Route]
    # The deployment's settings.
    properties: Mapping[str, Any]


class Probe:
    """A liveness or readiness probe: its next time, and its results in a row."""

    def __init__(
        self, name: str, route: Route, settings: Mapping[str, Any], pace: TimeScale
    ) -> None:
        self.name = name
        self.route = route
        self._settings = settings
        self._pace = pace
        self.begin()

    def begin(self) -> None:
        """Reset the probe, as for a container that was just started."""
        self.started = time.monotonic()
        self.passes = self.failures = 0
        self.why = ""
        self.due = self.started + self._pace.scale_seconds(
            parse_duration(self._settings["initialDelay"])
        )

    def ask(self, port: int) -> None:
        """Send one request, and count the result."""
        timeout = self._pace.scale_seconds(parse_duration(self._settings["timeout"]), LEAST_TIMEOUT)
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
        self.due = time.monotonic() + self._pace.scale_seconds(
            parse_duration(self._settings["period"]), LEAST_PERIOD
        )

    @property
    def has_passed(self) -> bool:
        """Whether the probe has reached its success threshold."""
        return self.passes >= int(self._settings["successThreshold"])

    @property
    def has_failed(self) -> bool:
        """Whether the probe has reached its failure threshold, after the grace period."""
        early = time.monotonic() - self.started < self._pace.failure_grace_seconds
        return self.failures >= int(self._settings["failureThreshold"]) and not early


class Instance(ContainerInstance):
    """A monitored container."""

    def __init__(
        self,
        engine: Engine,
        plan: InstanceConfig,
        pace: TimeScale,
        crash_code: str,
        failures: list[str],
    ) -> None:
        super().__init__(engine)
        self._failures = failures
        self._crash_code = crash_code
        self._closing = threading.Event()
        self._decided = threading.Event()
        self._error: ArmError | None = None
        self.plan = plan
        self.ready = False
        # How often the monitor has restarted it.
        self.restarts = 0
        self.last_logs = ""
        self._liveness, self._readiness = (
            Probe(name, plan.routes[name], plan.properties[f"{name}Probe"], pace)
            for name in ("liveness", "readiness")
        )
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Start the container, and monitor it."""
        plan = self.plan
        ports = {route.port for route in plan.routes.values()}
        self.run_container(plan.image, plan.name, plan.variables, ports)
        self._begin_probes()
        self._thread.start()

    def wait(self) -> None:
        """Wait until the container is ready for the first time. Raise `ArmError`."""
        self._decided.wait()
        if self._error:
            raise self._error

    @property
    def scoring_port(self) -> int:
        """The port on this machine that scores."""
        return self.find_port(self.plan.routes["scoring"].port)

    def logs(self) -> str:
        """Return what the container has printed, even after it was removed."""
        self.last_logs = self.output(timestamps=False) or self.last_logs
        return self.last_logs

    def close(self) -> None:
        """Remove the container; keep its logs."""
        self._closing.set()
        if self._thread.ident:
            self._thread.join()
        self.ready = False
        self.logs()
        super().close()

    def _begin_probes(self) -> None:
        self._liveness.begin()
        self._readiness.begin()

    def _watch(self) -> None:
        try:
            while not self._closing.is_set():
                for probe in (self._liveness, self._readiness):
                    if time.monotonic() >= probe.due:
                        probe.ask(self.find_port(probe.route.port))
                continues = (
                    self._restart_or_fail(container_crashed_error(self._crash_code))
                    if self._has_exited()
                    else self._evaluate_probes()
                )
                if not continues:
                    return
                seconds_to_next = min(self._liveness.due, self._readiness.due) - time.monotonic()
                self._closing.wait(
                    max(0.0, seconds_to_next if self.ready else min(seconds_to_next, CHECK_SECONDS))
                )
        except docker.errors.NotFound as error:
            # Another program has removed the container: the instance is lost.
            self._fail(operation_error("InternalServerError", str(error)))
        except Exception:
            if not self._closing.is_set():
                self._failures.append(traceback.format_exc())
        finally:
            self.ready = False
            if not self._decided.is_set():
                self._fail(canceled_error())

    def _evaluate_probes(self) -> bool:
        """Apply the results of the probes; return whether to continue."""
        live, ready = self._liveness, self._readiness
        if live.has_failed:
            return self._restart_or_fail(probe_failed_error(live.name, live.why))
        if ready.has_failed and not self._decided.is_set():
            self._fail(probe_failed_error(ready.name, ready.why))
            return False
        if ready.has_passed and live.failures == 0:
            self.ready = True
            self._decided.set()
        elif ready.has_failed:
            self.ready = False
        return True

    def _restart_or_fail(self, error: ArmError) -> bool:
        """Restart the container if it was ready once, else fail; return whether to continue."""
        self.ready = False
        if not self._decided.is_set():
            self._fail(error)
            return False
        self.restarts += 1
        assert self.container
        self.container.restart(timeout=0)
        self.read_ports()
        self._begin_probes()
        return True

    def _fail(self, error: ArmError) -> None:
        self._error = error
        self._decided.set()

    def _has_exited(self) -> bool:
        if self.ready and not (self._liveness.why or self._readiness.why):
            # Its probes pass, so there is no need to query the engine.
            return False
        return bool(self.exit_code())
