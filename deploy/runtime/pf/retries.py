"""How long a request may wait to ask its model again.

promptflow asks again up to 100 times, for minutes, while the caller's own time limit (180 s on
Azure Machine Learning, 230 s on App Service) passes and a thread is held. Here a request has a few
seconds for that in all. Then the model's own answer is told to the caller, who knows better when to
come again.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import time
from types import SimpleNamespace

log = logging.getLogger("serve.promptflow")

# Seconds that the request at hand has left; a list, so that helper threads share it.
_budget: contextvars.ContextVar[list[float]] = contextvars.ContextVar("budget")

# Where promptflow waits between two tries.
_MODULES = ("promptflow.tools.common", "promptflow.core._prompty_utils")


def install() -> None:
    """Bound the waiting in the modules that the flow has loaded."""
    for name in _MODULES:
        if name in sys.modules:
            sys.modules[name].time = SimpleNamespace(sleep=_wait)  # type: ignore[attr-defined]
            # It prints each failure, which is logged in the end.
            sys.modules[name].print = _debug  # type: ignore[attr-defined]


def allow(seconds: float) -> None:
    """Give the request at hand `seconds`."""
    _budget.set([seconds])


def _debug(text: str, **_: object) -> None:
    log.debug("%s", text)


def _wait(seconds: float) -> None:
    """Sleep, or raise the error that is being handled: promptflow calls this to ask again later."""
    budget = _budget.get(None)
    if budget is not None:
        if seconds > budget[0]:
            raise
        budget[0] -= seconds
    time.sleep(seconds)
