"""A time limit for retries of requests to a model.

promptflow retries up to 100 times, for minutes. Meanwhile the client's own time limit (180 s on
Azure Machine Learning, 230 s on App Service) passes, and a thread is blocked. Here a request can
wait for retries only a few seconds in total. Then the client gets the model's error, and decides
itself when to retry.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import time
from types import SimpleNamespace

log = logging.getLogger("serve.promptflow")

# Seconds that remain for the current request. A list, so that helper threads share it.
_budget: contextvars.ContextVar[list[float]] = contextvars.ContextVar("budget")

# The modules in which promptflow waits between two attempts.
_MODULES = ("promptflow.tools.common", "promptflow.core._prompty_utils")


def install() -> None:
    """Limit the waiting time in the modules that the flow has loaded."""
    for name in _MODULES:
        if name in sys.modules:
            sys.modules[name].time = SimpleNamespace(sleep=_sleep_or_raise)  # type: ignore[attr-defined]
            # promptflow prints each failure. The last failure is logged anyway.
            sys.modules[name].print = _debug  # type: ignore[attr-defined]


def set_budget(seconds: float) -> None:
    """Set the waiting time of the current request to `seconds`."""
    _budget.set([seconds])


def _debug(text: str, **_: object) -> None:
    log.debug("%s", text)


def _sleep_or_raise(seconds: float) -> None:
    """Sleep before a retry, or raise the current error if the budget does not suffice."""
    budget = _budget.get(None)
    if budget is not None:
        if seconds > budget[0]:
            raise
        budget[0] -= seconds
    time.sleep(seconds)
