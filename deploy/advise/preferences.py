"""Preferences among installed targets that fit, in the order in which they decide."""

from __future__ import annotations

import functools

from deploy.advise.conditions import Condition
from deploy.advise.options import Preference, list_azure_options, load_shared_sources

# The questions in the order in which their preferences decide. Nothing is weighted with numbers.
DECISION_ORDER = ("clients", "domain", "network", "team", "streaming", "idle")
# Names in conditions of the preferences for a target that the environments already have.
PRODUCTION, CONFIGURED = "production", "configured"


@functools.cache
def list_preferences() -> tuple[Preference, ...]:
    """Return the preferences among installed targets; the first that applies decides."""
    facts = load_shared_sources().facts
    installed = [option for option in list_azure_options() if option.is_installed]
    preferences = [preference for option in installed for preference in option.preferences]
    preferences += [
        Preference(
            option.name,
            "trials should use the same target as production",
            facts["one_image"],
            Condition({PRODUCTION: (option.name,)}, {}),
        )
        for option in installed
    ]
    preferences += [
        Preference(
            option.name,
            "environments.yaml configures this target, and no other",
            facts["configured"],
            Condition({CONFIGURED: (option.name,)}, {}),
        )
        for option in installed
    ]
    return tuple(sorted(preferences, key=_rank_preference))


def _rank_preference(preference: Preference) -> int:
    order = (*DECISION_ORDER, "", PRODUCTION, CONFIGURED)
    names = preference.when.names
    if not names:
        return len(order)
    return order.index(names[0] if names[0] in order else "")
