"""Ours answers as pf's own server does, but where the documentation says otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration import raw_http
from tests.integration.compatibility_bodies import BAD_BODIES, GOOD
from tests.integration.compatibility_heads import HEADS, PATHS_AND_METHODS, WITH_A_MODEL
from tests.integration.compatibility_table import COMPARED, Case
from tests.integration.conftest import ROOT
from tests.integration.raw_http import Answer
from tests.integration.running_container import Running

Serving = Callable[[str], Running]
SECTION = "## Differences from pf's own server, on purpose"
CASES = [*GOOD, *BAD_BODIES, *HEADS, *PATHS_AND_METHODS, *WITH_A_MODEL]
# Rows that other tests prove: of starting and stopping, which are no answers; of pictures by URL
# (test_image_inputs.py); of what takes pf's server too long to ask it (test_hostile_inputs.py).
PROVED_ELSEWHERE = {
    "missing connection",
    "SIGTERM",
    "a picture by URL (`data:image/png;url`)",
    "10,000 messages or more in a prompt, as many lines beside a picture, tool calls of more than "
    "100,000 characters, 100 pictures",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_response_equals_that_of_pf(case: Case, pf: Serving, serving: Serving) -> None:
    theirs = raw_http.exchange(pf(case.flow).url, case.request)
    ours = raw_http.exchange(serving(case.flow).url, case.request)
    assert (theirs.status, ours.status) == case.status, f"pf: {theirs}\nours: {ours}"
    assert _differences(case, theirs, ours) == set(case.differs), f"pf: {theirs}\nours: {ours}"


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


def test_differences_are_those_documented() -> None:
    declared = {row for case in CASES for row in case.differs.values()}
    assert declared | PROVED_ELSEWHERE == set(_rows())


def _differences(case: Case, theirs: Answer, ours: Answer) -> set[str]:
    found = {
        name
        for name in (*COMPARED, *case.headers)
        if theirs.headers.get(name, "").lower() != ours.headers.get(name, "").lower()
    }
    if theirs.status != ours.status:
        found.add("status")
    if theirs.body != ours.body:
        found.add("body")
    return found


def _rows() -> list[str]:
    """Return the first cell of each row of the documentation's table."""
    text = (ROOT / "docs/container.md").read_text(encoding="utf-8")
    section = text.partition(SECTION)[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [line.split(" | ")[0].removeprefix("| ").strip() for line in lines[1:]]
