"""Start traces and metrics of the flow if variables name a destination.

OpenTelemetry is imported only if there is a destination. No function here raises an error: a flow
is served even if its telemetry fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from . import destinations
from .destinations import log

if TYPE_CHECKING:
    from .providers import Telemetry

# promptflow reads this variable at each call that it can trace.
SWITCH = "PF_DISABLE_TRACING"


def start(
    environ: MutableMapping[str, str],
    about: Mapping[str, Any],
    content: bool = False,
    hidden: Iterable[str] = (),
) -> Telemetry | None:
    """Start to send to the destinations in `environ`, or return None if there are none.

    Must be called in each process that serves, after the fork and after the flow is loaded, because
    it starts threads. `environ` is that of the process. `about` is the image's metadata. `content`
    permits inputs, outputs and prompts in spans. `hidden` are secrets, which are never sent.
    """
    targets = destinations.read(environ)
    for problem in targets.problems:
        log.warning("%s", problem)
    sending = None
    if targets:
        try:
            from . import export

            sending = export.start(
                targets, about, content, (*hidden, *destinations.list_secrets(environ))
            )
        except Exception as error:
            # A wrong value of one of OpenTelemetry's many variables must not cause an outage.
            reason = " ".join(str(error).split())
            log.warning("telemetry is off: %s: %s", type(error).__name__, reason)
    if sending is None:
        # promptflow collects traces in memory even if no code fetches them.
        environ[SWITCH] = "true"
        return None
    environ.setdefault(SWITCH, "false")
    log.info("telemetry is sent to %s", ", ".join(sending.names))
    return sending
