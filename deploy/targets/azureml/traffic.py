"""Shares of the requests: how they move from one version to another. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Shares = Mapping[str, int]
"""Per cents by deployment; they sum to 100, or are empty."""


def ramp(now: Shares, name: str, rollout: Sequence[int]) -> tuple[dict[str, int], ...]:
    """Return the shares to set, one after the other, until `name` has all.

    Where nothing else serves, that is one step; where `name` has a share already, the steps go on
    from there. The others keep their proportions.
    """
    share = now.get(name, 0)
    others = without(now, name)
    if share == 100:
        return ()
    if not others:
        return ({name: 100},)
    return tuple(
        {name: step, **scaled(others, 100 - step)} if step < 100 else {name: 100}
        for step in rollout
        if step > share
    )


def without(now: Shares, name: str) -> dict[str, int]:
    """Return the shares that the others would have if `name` had none: 100 together, or empty."""
    rest = {other: share for other, share in now.items() if other != name and share}
    return scaled(rest, 100) if rest else {}


def scaled(shares: Shares, total: int) -> dict[str, int]:
    """Return whole shares in the proportions of `shares` that sum to `total`; largest remainder."""
    whole = sum(shares.values())
    exact = {name: share * total / whole for name, share in shares.items()}
    found = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (found[name] - exact[name], name))
    for name in by_remainder[: total - sum(found.values())]:
        found[name] += 1
    return {name: share for name, share in found.items() if share}


def shown(shares: Shares) -> str:
    """Return shares for people, the largest first."""
    ordered = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {share} %" for name, share in ordered if share) or "none"
