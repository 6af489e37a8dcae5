"""VM sizes that Azure retires, and when."""

from __future__ import annotations

import datetime
import re

# "Managed online endpoints SKU list" still lists these sizes. Sources of the dates: Azure's
# announcements for DSv2 and Fsv2 (2028), "Migration guide for sizes NC6s_v3 NC12s_v3 NC24s_v3".
RETIREMENT_DATES = (
    (re.compile(r"standard_ds\d+_v2$", re.IGNORECASE), datetime.date(2028, 5, 1)),
    (re.compile(r"standard_f\d+s_v2$", re.IGNORECASE), datetime.date(2028, 11, 15)),
    (re.compile(r"standard_nc\d+r?s_v3$", re.IGNORECASE), datetime.date(2025, 9, 30)),
)


def retirement_date(instance_type: str) -> datetime.date | None:
    """Return the date on which Azure retires this size, or None if no date is known."""
    return next((day for pattern, day in RETIREMENT_DATES if pattern.match(instance_type)), None)
