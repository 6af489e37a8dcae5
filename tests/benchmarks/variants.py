"""The compared variants: the ways to run pf's own image, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Variant:
    """An image, `ours` or pf's own, run with these variables."""

    name: str
    ours: bool
    variables: Mapping[str, str] = field(default_factory=dict)
    # On the official Python image, in place of a base made from Debian packages.
    official: bool = False

    @property
    def image(self) -> tuple[bool, bool]:
        """Which image it runs: variants of the same one differ in variables only."""
        return self.ours, self.official


OURS = Variant("ours", True)
OFFICIAL = Variant("ours, official base", True, official=True)
# As it comes: 8 synchronous gunicorn workers.
PF = Variant("pf", False)
FASTAPI = Variant("pf fastapi", False, {"PROMPTFLOW_SERVING_ENGINE": "fastapi"})
# What its variables allow: most of what it lacks is configuration, so it stands beside the rest.
TUNED = Variant(
    "pf tuned",
    False,
    {
        "PROMPTFLOW_WORKER_NUM": "2",
        "PROMPTFLOW_WORKER_THREADS": "128",
        "PF_LOGGING_LEVEL": "WARNING",
    },
)
# Only to see what one process takes.
ONE_WORKER = Variant("pf, 1 worker", False, {"PROMPTFLOW_WORKER_NUM": "1"})
ALL = (PF, FASTAPI, TUNED, OURS)
# Only to see what the fast client to models saves.
FAST_CLIENT = Variant("fast client", True)
SDK = Variant("SDK", True, {"SERVE_FAST_CLIENT": "false"})
# The columns of ratios, left divided by right, where a table has both.
RATIOS = (
    (OURS.name, PF.name),
    (OURS.name, TUNED.name),
    (OFFICIAL.name, PF.name),
    (OFFICIAL.name, TUNED.name),
    ("ours traced", OURS.name),
    (FAST_CLIENT.name, SDK.name),
)


def traced(collector: str) -> Variant:
    """Return ours with telemetry, sent to `collector`."""
    return Variant("ours traced", True, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector})
