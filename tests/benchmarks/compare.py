"""Print our image of a flow beside pf's own: `python -m tests.benchmarks.compare`.

Progress goes to standard error, the tables (or JSON) to standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import docker

from deploy.core.errors import DeployError
from deploy.docker import engine
from tests import official_base
from tests.benchmarks import chart, fast_model, images, load, table, variants
from tests.benchmarks.own_image import ROOT
from tests.benchmarks.parts import PARTS, Bench
from tests.benchmarks.pf_base import say
from tests.benchmarks.results import Results
from tests.benchmarks.subjects import Subject

FLOWS = tuple(dict.fromkeys(flow for _, flows in PARTS.values() for flow in flows))
# The last results, written after each part: what was measured survives an interruption.
KEPT = ROOT / ".build" / "bench" / "results.json"
# More than what measuring itself needs.
BUSY = 1.0
NOTES = "What each figure means, and where pf's own image differs from pf's: docs/benchmarks.md"


@contextmanager
def bench(
    results: Results,
    flows: Sequence[str],
    repeat: int,
    seconds: float,
    *,
    traced: bool = False,
) -> Iterator[tuple[Bench, dict[str, Subject]]]:
    """Yield what the parts need, and the flows by name; remove the images that were built."""
    client = engine.connect()
    run = uuid.uuid4().hex[:8]
    with ExitStack() as stack:
        stack.callback(images.remove, client, run)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        model = stack.enter_context(fast_model.serve())
        chosen: tuple[variants.Variant, ...] = variants.ALL
        if traced:
            # It throws away what it is sent.
            collector = stack.enter_context(fast_model.serve())
            chosen = (*chosen, variants.traced(collector.endpoint))
        # The engine has it once pulled: the registry is not needed any more.
        official = official_base.pull(client)
        subjects = {flow: Subject(client, flow, folder, run, model, official) for flow in flows}
        for subject in subjects.values():
            stack.enter_context(subject.packages_at_hand())
        yield Bench(client, results, model, chosen, repeat, seconds), subjects


def measure(
    parts: Sequence[str], flows: Sequence[str], repeat: int, seconds: float, traced: bool
) -> Results:
    """Measure `parts` for those of `flows` that they are for."""
    results = Results()
    pairs = [(part, flow) for part in parts for flow in PARTS[part][1] if flow in flows]
    needed = list(dict.fromkeys(flow for _, flow in pairs))
    with bench(results, needed, repeat, seconds, traced=traced) as (made, subjects):
        for part, flow in pairs:
            PARTS[part][0](made, subjects[flow])
            KEPT.parent.mkdir(parents=True, exist_ok=True)
            KEPT.write_text(json.dumps(results.data()), encoding="utf-8")
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for; return the exit status."""
    chosen = _parser().parse_args(arguments)
    # Ended from outside, it removes its containers and images all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if chosen.again and not KEPT.is_file():
        say("error: nothing was measured yet\n  → `inv bench`, without --again")
        return 1
    if chosen.again:
        results = Results.of_data(json.loads(KEPT.read_text(encoding="utf-8")))
    else:
        parts = [part for part in PARTS if part in (chosen.only or PARTS)]
        flows = chosen.flow or FLOWS
        try:
            _check(engine.connect())
            results = measure(parts, flows, chosen.repeat, chosen.seconds, chosen.traced)
        except (DeployError, RuntimeError) as error:
            say(f"error: {error}")
            return 1
    if chosen.json:
        print(json.dumps(results.data(), indent=2))
    else:
        print(f"{table.text(results)}\n\nmedians, in brackets the lowest and the highest\n{NOTES}")
    if chosen.chart:
        Path(chosen.chart).write_text(chart.svg(results), encoding="utf-8")
        say(f"chart: {chosen.chart}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Our image of a flow beside pf's own.")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; all without it")
    parser.add_argument("--flow", action="append", choices=FLOWS, help="a flow; all without it")
    parser.add_argument("--repeat", type=int, default=3, help="how often; 3 without it")
    parser.add_argument("--seconds", type=float, default=10, help="of each load; 10 without it")
    parser.add_argument("--traced", action="store_true", help="ours with telemetry, too")
    parser.add_argument("--json", action="store_true", help="print JSON, every single figure")
    parser.add_argument("--chart", help="write an SVG to this file")
    parser.add_argument("--again", action="store_true", help="print what was measured last")
    return parser


def _check(client: docker.DockerClient) -> None:
    """Raise `DeployError` where nothing can be measured; tell what disturbs."""
    if os.geteuid() != 0:
        what = "the memory of a container's processes is root's to read"
        raise DeployError("benchmark", what, "run it as root, beside the engine")
    load.ensure_wrk()
    busy = os.getloadavg()[0]
    if busy > BUSY:
        say(
            f"caution: {busy:.1f} processes have run at a time in the last minute: only ratios count,"
        )
        say("and those of load are nearer to each other than on a machine that does nothing else")
    others = [str(container.name) for container in client.containers.list()]
    if others:
        say(f"caution: other containers run ({', '.join(others)}): pages that they share with")
        say("a measured one make its PSS smaller, and what they do makes it slower")


if __name__ == "__main__":
    sys.exit(main())
