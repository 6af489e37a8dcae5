"""How fast an emulated service is, and where it waits: for tests only."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

POLL_MS = 50
SPEED = 20.0
# Many times what a container takes to start, also where the machine is busy.
PATIENCE = 30.0


@dataclass
class Pace:
    """The knobs of time.

    A container's probes, and limits of time, are `speed` times as fast as they were set; but a container
    is real, so that it fails by them only once it has run for `patience` seconds. At the `native` pace
    nothing is hurried: neither probes nor, by `x-ms-retry-after-ms`, the client's looks at an operation.
    The first `polls` looks at an operation find it under way. While `gate` is not set, none ends.
    """

    speed: float = SPEED
    patience: float = PATIENCE
    native: bool = False
    polls: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def reset(self) -> None:
        """Be as it was made."""
        self.speed, self.patience, self.native, self.polls = SPEED, PATIENCE, False, 0
        self.gate.set()

    def seconds(self, asked: float, least: float = 0.0) -> float:
        """Return how long to wait for `asked` seconds of the service."""
        return asked if self.native else max(least, asked / self.speed)

    @property
    def allowed(self) -> float:
        """For how many seconds of a container's life failed probes do not count."""
        return 0.0 if self.native else self.patience
