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
from pathlib import Path

from ruamel.yaml import YAML

MOST_LINES = 500


@dataclass(frozen=True)
class Wording:
    """The lines for each event; `{name}` is replaced by a value."""

    pulling: list[str]
    pulled: list[str]
    pull_failed: list[str]
    starting: list[str]
    started: list[str]
    exited: list[str]
    timed_out: list[str]


_WORDINGS = YAML(typ="safe").load(Path(__file__).with_name("log_wording.yaml"))
CURRENT, CLASSIC = Wording(**_WORDINGS["current"]), Wording(**_WORDINGS["classic"])


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
