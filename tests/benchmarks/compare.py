"""Print our image of a flow beside pf's own: `python -m tests.benchmarks.compare --flow faq`.

Progress goes to standard error, the tables (or JSON) to standard output.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import docker

from deploy import engine
from tests import model_server
from tests.benchmarks import images, measure
from tests.benchmarks.measure import Built, Run
from tests.benchmarks.own_image import OwnImage
from tests.benchmarks.pf_image import PROMPTFLOW, PYTHON, SUITE, PfImage

FLOWS = ("faq", "triage")
# pf's start script reads it; without it eight workers start.
ONE_WORKER = {"PROMPTFLOW_WORKER_NUM": "1"}

NOTES = f"""\
ours      built by this repository's `deploy`
pf's own  `pf flow build --format docker` of {PROMPTFLOW}; its Dockerfile on Debian {SUITE}'s
          Python {PYTHON} with runit and gcc, and virtual environments in place of conda; start
          scripts as pf wrote them, eight workers by default
clean     base image and downloaded packages at hand, nothing else built (pip installs from
          wheels on this machine's loopback address, uv from its cache); one build each
rebuild   after a line of Python in the flow changed; packing included, which pf does in
          `pf flow build`, so `docker build` alone is not all that a change needs
start     from the container's start to the first 200 from /score, asked every \
{measure.POLL_SECONDS * 1000:.0f} ms
memory    idle, after that; PSS: shared pages counted once; cgroup: without droppable file cache
"""


@dataclass
class Figures:
    """All that was measured of one image. Seconds and bytes."""

    size: int = 0
    clean_build: float = 0.0
    rebuilds: list[float] = field(default_factory=list)
    rebuilds_docker_alone: list[float] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    runs_one_worker: list[Run] = field(default_factory=list)


@dataclass
class Comparison:
    """One flow: our image and pf's own."""

    flow: str
    ours: Figures = field(default_factory=Figures)
    pf: Figures = field(default_factory=Figures)


def compare(client: docker.DockerClient, flow: str, repeat: int) -> Comparison:
    """Build and run both images of `flow`, `repeat` times, and remove them again."""
    with (
        _run_of_its_own(client) as run,
        model_server.serve() as model,
        tempfile.TemporaryDirectory(prefix="bench-") as temporary,
    ):
        folder = Path(temporary)
        ours = OwnImage(client, flow, folder / "ours", run)
        pf = PfImage(client, flow, folder / "pf", run, model.endpoint)
        found = Comparison(flow)
        with pf.packages_at_hand():
            our_image, pf_image = _measure_builds(found, ours, pf, repeat)
        found.ours.size = measure.size(client, our_image)
        found.pf.size = measure.size(client, pf_image)
        sample = json.loads((ours.source / "sample.json").read_text(encoding="utf-8"))
        our_environment = ours.environment(model.endpoint, model_server.KEY)
        pf_environment = pf.environment(model_server.KEY)
        one_worker = {**pf_environment, **ONE_WORKER}
        for number in range(1, repeat + 1):
            _say(f"{flow}: start and memory, {number} of {repeat}")
            # In turns, so that what else the machine does meets all alike.
            found.ours.runs.append(measure.run(client, our_image, sample, our_environment))
            found.pf.runs.append(measure.run(client, pf_image, sample, pf_environment))
            found.pf.runs_one_worker.append(measure.run(client, pf_image, sample, one_worker))
        return found


def _measure_builds(found: Comparison, ours: OwnImage, pf: PfImage, repeat: int) -> tuple[str, str]:
    """Time the builds of both; return the ids of the images they end with."""
    _say(f"{found.flow}: our build once unmeasured, so that the packages are downloaded")
    ours.clean()
    _say(f"{found.flow}: clean builds")
    our_built, pf_built = ours.clean(), pf.clean()
    found.ours.clean_build, found.pf.clean_build = our_built.seconds, pf_built.seconds
    for number in range(1, repeat + 1):
        _say(f"{found.flow}: rebuild after a change, {number} of {repeat}")
        our_built = _rebuild(found.ours, ours.source, ours.build, number)
        pf_built = _rebuild(found.pf, pf.source, pf.build, number)
    return our_built.image, pf_built.image


def _rebuild(figures: Figures, source: Path, build: Callable[[], Built], number: int) -> Built:
    change(source, number)
    built = build()
    figures.rebuilds.append(built.seconds)
    if built.docker_seconds is not None:
        figures.rebuilds_docker_alone.append(built.docker_seconds)
    return built


def change(source: Path, number: int) -> None:
    """Add a line to a Python file of the flow in `source`."""
    path = min(source.glob("*.py"))
    with path.open("a", encoding="utf-8") as file:
        file.write(f"CHANGE_{number} = {number}\n")


@contextmanager
def _run_of_its_own(client: docker.DockerClient) -> Iterator[str]:
    """Yield a name for this run, and remove the images that were built under it."""
    run = uuid.uuid4().hex[:8]
    try:
        yield run
    finally:
        images.remove(client, run)


def table(found: Comparison) -> str:
    """Return the comparison as an aligned plain table: medians, in brackets the extremes."""
    rows = [(found.flow, "ours", "pf's own", "ours/pf"), *_rows(found.ours, found.pf)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *[row[i].rjust(widths[i]) for i in (1, 2, 3)]])
        for row in rows
    ]
    return "\n".join(lines)


def _rows(ours: Figures, pf: Figures) -> list[tuple[str, str, str, str]]:
    one = pf.runs_one_worker
    return [
        _row("image size, MB", [ours.size], [pf.size], 1e6),
        _row("clean build, s", [ours.clean_build], [pf.clean_build]),
        _row("rebuild, s", ours.rebuilds, pf.rebuilds),
        _row("  pf: docker build alone", ours.rebuilds, pf.rebuilds_docker_alone),
        _row("start to first score, s", _starts(ours.runs), _starts(pf.runs)),
        _row("  pf: with one worker", _starts(ours.runs), _starts(one)),
        _row("idle memory, PSS, MB", _pss(ours.runs), _pss(pf.runs), 1e6),
        _row("  pf: with one worker", _pss(ours.runs), _pss(one), 1e6),
        _row("idle memory, cgroup, MB", _cgroup(ours.runs), _cgroup(pf.runs), 1e6),
        _row("  pf: with one worker", _cgroup(ours.runs), _cgroup(one), 1e6),
    ]


def _row(
    name: str, ours: Sequence[float], pf: Sequence[float], unit: float = 1.0
) -> tuple[str, str, str, str]:
    return name, _cell(ours, unit), _cell(pf, unit), f"{ratio(ours, pf):.2f}"


def _cell(values: Sequence[float], unit: float) -> str:
    scaled = [value / unit for value in values]
    middle = f"{statistics.median(scaled):.2f}"
    if len(scaled) == 1:
        return middle
    return f"{middle} ({min(scaled):.2f}–{max(scaled):.2f})"


def ratio(ours: Sequence[float], pf: Sequence[float]) -> float:
    """Return the median of ours divided by the median of pf's."""
    return statistics.median(ours) / statistics.median(pf)


def _starts(runs: Sequence[Run]) -> list[float]:
    return [run.first_score_seconds for run in runs]


def _pss(runs: Sequence[Run]) -> list[float]:
    return [run.pss for run in runs]


def _cgroup(runs: Sequence[Run]) -> list[float]:
    return [run.cgroup for run in runs]


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the flows that the command line names."""
    parser = argparse.ArgumentParser(description="Our image of a flow beside pf's own.")
    parser.add_argument("--flow", action="append", choices=FLOWS, help="all without it")
    parser.add_argument("--repeat", type=int, default=5, help="rebuilds and starts; 5 without it")
    parser.add_argument("--json", action="store_true", help="print JSON, every single figure")
    chosen = parser.parse_args(arguments)
    client = engine.connect()
    _warn_of_others(client)
    found = [compare(client, flow, chosen.repeat) for flow in chosen.flow or FLOWS]
    if chosen.json:
        data: list[dict[str, Any]] = [asdict(comparison) for comparison in found]
        print(json.dumps(data, indent=2))
        return
    print("\n\n".join(table(comparison) for comparison in found))
    print(f"\nmedians of {chosen.repeat}, in brackets the lowest and the highest\n{NOTES}", end="")


def _warn_of_others(client: docker.DockerClient) -> None:
    others = [str(container.name) for container in client.containers.list()]
    if others:
        _say(f"caution: other containers run ({', '.join(others)}): pages that they share with")
        _say("a measured one make its PSS smaller, and what they do makes it slower")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
