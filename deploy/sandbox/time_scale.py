"""How fast an emulated service is, and where it waits; tests change it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

POLL_INTERVAL_MS = 50
DEFAULT_SPEED = 20.0
# Many times what a container takes to start, even on a busy machine.
DEFAULT_STARTUP_GRACE = 30.0


@dataclass
class TimeScale:
    """The speed of an emulated service."""

    # Probes of a container and time limits are this many times as fast as configured.
    speed: float = DEFAULT_SPEED
    # Seconds of a container's life in which failed probes do not count, as containers are real.
    startup_grace: float = DEFAULT_STARTUP_GRACE
    # No acceleration: neither of probes, nor of the client's polling (`x-ms-retry-after-ms`).
    real_time: bool = False
    # How many first polls of an operation report it as running.
    pending_polls: int = 0
    # While it is not set, no operation ends.
    completion_gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.completion_gate.set()

    def reset(self) -> None:
        """Restore the defaults."""
        self.speed, self.startup_grace = DEFAULT_SPEED, DEFAULT_STARTUP_GRACE
        self.real_time, self.pending_polls = False, 0
        self.completion_gate.set()

    def scale_seconds(self, asked: float, least: float = 0.0) -> float:
        """Return the seconds to wait for `asked` seconds of the real service."""
        return asked if self.real_time else max(least, asked / self.speed)

    @property
    def failure_grace_seconds(self) -> float:
        """The seconds of a container's life in which failed probes do not count."""
        return 0.0 if self.real_time else self.startup_grace
