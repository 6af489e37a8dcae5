"""The log of a slot's starts: lines of the platform and the output of containers.

Recorded (logs in issues): `CURRENT` is the wording from 2025 on (webapps-deploy 455,
Agent365-Samples 186), `CLASSIC` the one before (azure-docs 55944 and 113640, ctfd-azure-paas 13,
acr 124, AzureTRE 924, PasswordPusher 3064), which still occurs. Assumed: in `CURRENT`, the lines of
a successful start and of a container that exited; that the log stays with the slot in a swap; the
number of lines that containerlogs returns.
"""

from __future__ import annotations

import datetime
import threading
from dataclasses import dataclass

MOST_LINES = 500


@dataclass(frozen=True)
class Wording:
    """The lines for each event."""

    pulling: tuple[str, ...]
    pulled: tuple[str, ...]
    pull_failed: tuple[str, ...]
    starting: tuple[str, ...]
    started: tuple[str, ...]
    exited: tuple[str, ...]
    timed_out: tuple[str, ...]


_NO_PING = (
    "ERROR - Container {container} didn't respond to HTTP pings on port: {port}, failing "
    "site start. "
    "See container logs for debugging.",
    "INFO  - Stopping site {site} because it failed during startup.",
)
CLASSIC = Wording(
    pulling=("INFO  - Pulling image: {image}",),
    pulled=("INFO  - Pull Image successful, Time taken: 0 Seconds",),
    pull_failed=(
        "ERROR - DockerApiException: Docker API responded with status code=InternalServerError, "
        'response={{"message":"{why}"}}',
        "ERROR - Pulling docker image {image} failed:",
        "ERROR - Image pull failed: Verify docker image configuration and credentials (if using "
        "private repository)",
        "INFO  - Stopping site {site} because it failed during startup.",
    ),
    starting=(
        "INFO  - Starting container for site",
        "INFO  - docker run -d --expose={port} --name {container} {image}",
        "INFO  - Initiating warmup request to container {container} for site {site}",
    ),
    started=(
        "INFO  - Container {container} for site {site} initialized successfully and is "
        "ready to serve "
        "requests.",
    ),
    exited=(
        "ERROR - Container {container} for site {site} has exited, failing site start",
        *_NO_PING,
    ),
    timed_out=(
        "ERROR - Container {container} for site {site} did not start within expected time limit. "
        "Elapsed time = {limit}.6916131 sec",
        *_NO_PING,
    ),
)
_TERMINATED = (
    "Container is terminating. Grace period: 5 seconds.",
    "Stop and delete container. Retry count = 0",
    "Container is terminated. Total time elapsed: 116 ms.",
    "Site container: {site} terminated during site startup.",
)
_REVERT = "Failed to start site. Revert by stopping site."
CURRENT = Wording(
    pulling=("Pulling image: {image}.",),
    pulled=(),
    pull_failed=(
        "Container pull image failed with reason: ImagePullFailure. Revert by terminate.",
        *_TERMINATED,
        _REVERT,
        "Site: {site} stopped.",
    ),
    starting=(
        "Starting container: {container}.",
        "Starting watchers and probes.",
        "Container is running.",
    ),
    started=("Site startup probe succeeded.", "Site started."),
    exited=(
        "Container has finished running with exit code: {code}.",
        *_TERMINATED,
        _REVERT,
        "Site: {site} stopped.",
    ),
    timed_out=(
        "Site startup probe failed after {limit}.1241714 seconds.",
        _REVERT,
        *_TERMINATED,
        "Site: {site} stopped.",
    ),
)


class PlatformLog:
    """The log of one slot."""

    def __init__(self) -> None:
        self.wording = CURRENT
        self._lock = threading.Lock()
        self._lines: list[str] = []

    def add_platform_lines(self, *templates: str, **values: object) -> None:
        """Add lines of the platform."""
        now = datetime.datetime.now(datetime.UTC).isoformat().partition("+")[0]
        with self._lock:
            self._lines += [f"{now}0Z {line.format(**values)}" for line in templates]

    def add_container_output(self, output: str) -> None:
        """Add the output of a container that is removed, with a time before each line."""
        with self._lock:
            self._lines += output.splitlines()

    def text(self, output: str = "") -> str:
        """Return the log's last lines, with the running container's `output` sorted in by time."""
        with self._lock:
            lines = sorted([*self._lines, *output.splitlines()], key=lambda line: line[:27])
        return "".join(f"{line}\n" for line in lines[-MOST_LINES:])
