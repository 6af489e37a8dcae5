"""Traffic splits: how traffic moves from one version to another. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Shares = Mapping[str, int]
"""Percentages by deployment, with a total of 100; or empty."""


def ramp_steps(current: Shares, name: str, rollout: Sequence[int]) -> tuple[dict[str, int], ...]:
    """Return the traffic splits to set, one after the other, until `name` has all traffic.

    If no other version serves, that is one step. If `name` already has a share, the steps continue
    from there. The other versions keep their proportions.
    """
    share = current.get(name, 0)
    others = exclude_version(current, name)
    if share == 100:
        return ()
    if not others:
        return ({name: 100},)
    return tuple(
        {name: step, **scale_shares(others, 100 - step)} if step < 100 else {name: 100}
        for step in rollout
        if step > share
    )


def exclude_version(current: Shares, name: str) -> dict[str, int]:
    """Return the split of the other versions without `name`: a total of 100, or empty."""
    others = {other: share for other, share in current.items() if other != name and share}
    return scale_shares(others, 100) if others else {}


def scale_shares(shares: Shares, total: int) -> dict[str, int]:
    """Return integer shares with the total `total` in the proportions of `shares`.

    Rounding uses the largest-remainder method.
    """
    sum_of_shares = sum(shares.values())
    exact = {name: share * total / sum_of_shares for name, share in shares.items()}
    rounded = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (rounded[name] - exact[name], name))
    for name in by_remainder[: total - sum(rounded.values())]:
        rounded[name] += 1
    return {name: share for name, share in rounded.items() if share}


def format_shares(shares: Shares) -> str:
    """Return a traffic split for display, the largest share first."""
    ordered = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {share} %" for name, share in ordered if share) or "none"
