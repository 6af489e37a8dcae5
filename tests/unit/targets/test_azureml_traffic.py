"""Shares of the requests, guards, and times: the pure parts of a rollout."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.targets.azureml import probes, state, traffic
from deploy.targets.azureml.probes import Probe
from deploy.targets.azureml.settings import Guards

SOME = st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 100), min_size=1)
ROLLOUT = st.sets(st.integers(1, 99)).map(lambda steps: [*sorted(steps), 100])


@settings(max_examples=50)
@given(SOME, st.integers(1, 100))
def test_scaled_shares_are_whole_sum_up_and_keep_their_order(
    shares: dict[str, int], total: int
) -> None:
    found = traffic.scale_shares(shares, total)
    assert sum(found.values()) == total
    assert all(share > 0 for share in found.values())
    whole = sum(shares.values())
    for name, share in shares.items():
        assert abs(found.get(name, 0) - share * total / whole) < 1
    for one in shares:
        for other in shares:
            if shares[one] > shares[other]:
                assert found.get(one, 0) >= found.get(other, 0)


@settings(max_examples=50)
@given(SOME.map(lambda some: traffic.scale_shares(some, 100)), st.sampled_from("abcz"), ROLLOUT)
def test_a_ramp_rises_to_all_and_each_step_sums_up(
    now: dict[str, int], name: str, rollout: list[int]
) -> None:
    before = now.get(name, 0)
    for shares in traffic.ramp_steps(now, name, rollout):
        assert sum(shares.values()) == 100
        assert shares[name] > before
        assert set(shares) <= {*now, name}
        before = shares[name]
    assert before == 100


@settings(max_examples=50)
@given(SOME.map(lambda some: traffic.scale_shares(some, 100)), ROLLOUT)
def test_an_interrupted_ramp_continues(now: dict[str, int], rollout: list[int]) -> None:
    whole = traffic.ramp_steps(now, "new", rollout)
    for done, shares in enumerate(whole):
        rest = traffic.ramp_steps(shares, "new", rollout)
        assert [one["new"] for one in rest] == [one["new"] for one in whole[done + 1 :]]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({}, [{"new": 100}]),
        ({"new": 100}, []),
        ({"old": 100}, [{"new": 10, "old": 90}, {"new": 50, "old": 50}, {"new": 100}]),
        ({"old": 60, "older": 40}, [{"new": 10, "old": 54, "older": 36}]),
        ({"old": 70, "new": 30}, [{"new": 50, "old": 50}, {"new": 100}]),
    ],
)
def test_a_ramp(now: dict[str, int], expected: list[dict[str, int]]) -> None:
    assert list(traffic.ramp_steps(now, "new", [10, 50, 100]))[: len(expected) or None] == expected


def test_without_and_shown() -> None:
    assert traffic.exclude_version({"old": 90, "new": 10}, "new") == {"old": 100}
    assert traffic.exclude_version({"new": 100, "old": 0}, "new") == {}
    assert traffic.format_shares({"a": 10, "b": 90, "c": 0}) == "b 90 %, a 10 %"
    assert traffic.format_shares({"c": 0}) == "none"


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("PT5S", 5),
        ("PT1M30S", 90),
        ("PT1M30.5S", 90.5),
        ("PT2H", 7200),
        ("P1DT1S", 86401),
        ("P", 0),
        ("", 0),
        (None, 0),
        ("five seconds", 0),
        ("1S", 0),
    ],
)
def test_seconds(duration: str | None, expected: float) -> None:
    assert state.parse_duration(duration) == expected


def shots(*seconds: float, bad: int = 0) -> list[Probe]:
    good = [Probe(one, "new", "") for one in seconds]
    return [Probe(0.1, "new", "no answer", 0)] * bad + good


@pytest.mark.parametrize(
    ("seen", "guards", "expected"),
    [
        (shots(0.1), Guards(probes=5), ""),
        (shots(bad=1), Guards(probes=5), "1 of 1 requests failed"),
        (shots(0.1, bad=1), Guards(probes=5, error_rate=0.2), ""),
        (shots(0.1, bad=2), Guards(probes=5, error_rate=0.2), "2 of 3 requests failed"),
        (shots(bad=5), Guards(probes=5, error_rate=1), ""),
        (shots(9.0), Guards(probes=2, p95_ms=100), ""),
        (shots(0.05, 0.2), Guards(probes=2, p95_ms=100), "p95 is 200 ms, above guards.p95_ms 100"),
        (shots(0.05, 0.1), Guards(probes=2, p95_ms=100), ""),
        (shots(*[0.05] * 19, 9.0), Guards(probes=20, p95_ms=100), ""),
        (shots(*[0.05] * 18, 9.0, 9.0), Guards(probes=20, p95_ms=100), "p95 is 9000 ms"),
    ],
)
def test_verdict(seen: list[Probe], guards: Guards, expected: str) -> None:
    found = probes.check_guards(seen, guards)
    assert expected in found
    assert bool(found) == bool(expected)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 100), min_size=1))
def test_p95_is_a_value_that_at_most_a_twentieth_exceeds(values: list[float]) -> None:
    found = probes.p95(values)
    assert found in values
    assert sum(value > found for value in values) <= len(values) / 20
    assert sum(value <= found for value in values) >= 0.95 * len(values)


def test_a_watch_stops_at_the_first_verdict_and_else_takes_every_probe() -> None:
    taken: list[int] = []

    def shot() -> Probe:
        taken.append(1)
        return Probe(0.0, "new", "no answer" if len(taken) == 3 else "")

    said: list[str] = []
    reason = probes.watch(shot, Guards(probes=5), 0, said.append)
    assert "1 of 3 requests failed" in reason
    assert len(taken) == 3
    assert probes.watch(shot, Guards(probes=5), 0, said.append) == ""
    assert len(taken) == 8
