"""The differences between a running version and the desired one, formatted for a plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.azure import container_variables
from deploy.core.entities import Step


@dataclass(frozen=True)
class Difference:
    """One difference; contains no secrets."""

    what: str
    before: str
    after: str

    def to_step(self, why: str, resource: str = "") -> Step:
        """Return the row of a plan for this difference of `resource`."""
        what = f"{resource}: {self.what}" if resource else self.what
        return Step("change", what, self.before, self.after, why)


def compare(values: Iterable[tuple[str, Any, Any]]) -> list[Difference]:
    """Return the differences in `values`, which are names with the values before and after."""
    return [
        Difference(name, format_value(before), format_value(after))
        for name, before, after in values
        if before != after
    ]


def compare_variables(
    before: Mapping[str, str], after: Mapping[str, str], hidden: Collection[str]
) -> list[Difference]:
    """Return the differences between a container's variables; values of `hidden` are masked."""
    return [
        Difference(
            f"env.{name}",
            container_variables.mask_value(name, before.get(name), hidden),
            container_variables.mask_value(name, after.get(name), hidden),
        )
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def format_value(value: Any) -> str:
    """Return a value for display: booleans as yes or no, a resource ID as its last part."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item.get("ipAddress") or item.get("name")) for item in value) or "none"
    text = str(value or "none")
    return text.rpartition("/")[2] if text.startswith("/subscriptions/") else text
