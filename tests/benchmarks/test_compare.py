"""Our image beside pf's own, by a wide margin: the limits are far from what is usually measured.

Two processors are shared with the load and with pf, so only what is measured side by side counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.benchmarks import compare, load, parts
from tests.benchmarks.parts import Bench
from tests.benchmarks.results import Figure, Results
from tests.benchmarks.subjects import Subject
from tests.benchmarks.variants import OURS, PF

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(os.geteuid() != 0, reason="reads the memory of a container's processes"),
]

Made = tuple[Bench, dict[str, Subject]]


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    """What the parts measure with: ours and pf as it comes, once, for a few seconds."""
    load.ensure_wrk()
    with compare.bench(Results(), ("plain", "llm"), repeat=1, seconds=5) as (whole, subjects):
        yield replace(whole, variants=(PF, OURS)), subjects


def ratio(made: Made, figure: Figure) -> float:
    """Return ours divided by pf's."""
    found = made[0].results.ratio(figure, OURS.name, PF.name)
    assert found is not None
    return found


def test_the_image_is_a_quarter_at_most(made: Made) -> None:
    parts.size(made[0], made[1]["llm"])
    assert ratio(made, Figure("size", "llm", "image, MB")) <= 1 / 4
    assert ratio(made, Figure("size", "llm", "image, compressed, MB")) <= 1 / 4


def test_it_starts_in_half_the_time_and_half_the_memory_at_most(made: Made) -> None:
    parts.start(made[0], made[1]["llm"])
    assert ratio(made, Figure("start", "llm", "first score, s")) <= 1 / 2
    assert ratio(made, Figure("start", "llm", "processor time until then, s")) <= 1 / 2
    assert ratio(made, Figure("start", "llm", "idle memory, PSS, MB")) <= 1 / 2


@pytest.mark.parametrize(("flow", "least"), [("llm", 3.0), ("plain", 3.0)])
def test_it_answers_more_requests_of_64_clients_and_loses_none(
    made: Made, flow: str, least: float
) -> None:
    parts.loads(made[0], made[1][flow], clients=(64,))
    about = parts.about(flow, 64)
    assert ratio(made, Figure("load", about, "requests/s", more=True)) >= least
    assert made[0].results.of(Figure("load", about, "errors"), OURS.name) == [0]


def test_sigterm_loses_no_request(made: Made) -> None:
    parts.stop(made[0], made[1]["llm"])
    under_way, lost, later, before = (
        made[0].results.of(figure, OURS.name) for figure in parts.STOP_FIGURES
    )
    assert under_way[0] > 0
    assert (lost, later, before) == ([0], [0], [0])
