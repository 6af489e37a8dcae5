"""Print what the fast client saves beside the OpenAI SDK: `python -m tests.benchmarks.fast_client`.

The same image runs with and without it, in turns. Progress goes to standard error, the table to
standard output.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from deploy.docker import engine
from tests.benchmarks import fast_model, load, measure, serving, streams, table
from tests.benchmarks.own_image import OwnImage
from tests.benchmarks.parts import CLIENTS, LLM, STREAMS, WARM_CLIENTS, WARM_SECONDS
from tests.benchmarks.pf_base import say
from tests.benchmarks.results import Figure, Results
from tests.benchmarks.serving import PATH, PORT, Server
from tests.benchmarks.subjects import KEY
from tests.benchmarks.variants import FAST_CLIENT, SDK

STREAMED = "chat"
PART = "fast client"


def measure_calls(
    results: Results, variant: str, server: Server, sample: object, seconds: float
) -> None:
    """Measure requests per second, and the container's processor time for each request."""
    quick = min(load.answer_seconds(server.url, sample) for _ in range(3))
    for clients in CLIENTS[LLM]:
        load.settle(server.url, sample, quick)
        before = measure.processor_seconds(server.container)
        found = load.run(server.url, sample, clients, seconds)
        spent = measure.processor_seconds(server.container) - before
        subject = f"{clients} clients, model answers after 300 ms"
        for name, value, more in (
            ("requests/s", found.rate, True),
            ("processor time for a request, ms", 1000 * spent / (found.rate * seconds), False),
            ("p99, ms", 1000 * found.p99, False),
            ("errors", found.errors, False),
        ):
            results.add(Figure(PART, subject, name, more), variant, value)


def measure_streams(results: Results, variant: str, server: Server, sample: object) -> None:
    """Measure streams of 26 chunks that open at the same moment."""
    load.settle(server.url, sample, fast_model.LATENCY_SECONDS)
    before = measure.processor_seconds(server.container)
    # No seconds: the least number of rounds, so that the number of streams is known.
    found = streams.run(server.host, PORT, PATH, sample, STREAMS, seconds=0)
    spent = measure.processor_seconds(server.container) - before
    subject = f"{STREAMS} streams at once"
    for name, value in (
        ("processor time for a stream, ms", 1000 * spent / (STREAMS * streams.LEAST_ROUNDS)),
        ("first event, p50, ms", 1000 * found.p50),
        ("first event, p99, ms", 1000 * found.p99),
        ("errors", found.errors),
    ):
        results.add(Figure(PART, subject, name), variant, value)


def run(repeat: int, seconds: float) -> Results:
    """Measure both ways `repeat` times, each load for `seconds`."""
    client, results = engine.connect(), Results()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, fast_model.serve() as model:
        own = {
            name: OwnImage(client, name, Path(folder) / name, uuid.uuid4().hex[:8])
            for name in (LLM, STREAMED)
        }
        images = {name: image.build().image for name, image in own.items()}
        for number in range(1, repeat + 1):
            for variant in (FAST_CLIENT, SDK):
                for name, image in own.items():
                    say(f"{name}: {variant.name}, {number} of {repeat}")
                    variables = {**image.environment(model.endpoint, KEY), **variant.variables}
                    sample = image.sample
                    with serving.serve(client, images[name], variables, sample) as server:
                        load.run(server.url, sample, WARM_CLIENTS, WARM_SECONDS)
                        if name == LLM:
                            measure_calls(results, variant.name, server, sample, seconds)
                        else:
                            measure_streams(results, variant.name, server, sample)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table; return the exit code."""
    parser = argparse.ArgumentParser(description="The fast client beside the OpenAI SDK.")
    parser.add_argument("--repeat", type=int, default=3, help="how often (default: 3)")
    parser.add_argument("--seconds", type=int, default=10, help="of each load (default: 10)")
    chosen = parser.parse_args(arguments)
    load.ensure_wrk()
    print(table.text(run(chosen.repeat, chosen.seconds)))
    say(f"{os.getloadavg()[0]:.1f} processes ran at a time in the last minute")
    return 0


if __name__ == "__main__":
    sys.exit(main())
