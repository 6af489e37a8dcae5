"""The parts of the benchmark: each measures one thing of a flow, for every variant, in turns.

In turns, so that what else the machine does meets all variants alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import docker

from tests.benchmarks import fast_model, load, measure, stopping, streams
from tests.benchmarks.measure import Built
from tests.benchmarks.pf_base import say
from tests.benchmarks.results import Figure, Results
from tests.benchmarks.serving import PATH, PORT
from tests.benchmarks.subjects import Subject
from tests.benchmarks.variants import OFFICIAL, ONE_WORKER, OURS, PF, Variant

MB = 1e6
GB = 1e9
LLM = "llm"
PLAIN = "plain"
# How many clients at once. One client of a flow that waits shows nothing but the model.
CLIENTS = {PLAIN: (1, 64, 256), LLM: (8, 64, 256)}
WARM_CLIENTS = 16
WARM_SECONDS = 2.0
STREAMS = 64
STOP_CLIENTS = 16
MODEL = "model alone"
STREAM = f"{STREAMS} streams at once, time to the first event"
STOP = f"SIGTERM with {STOP_CLIENTS} clients"
STOP_FIGURES = tuple(
    Figure("stop", STOP, name)
    for name in ("requests under way", "  lost", "sent later, lost", "failed before")
)


@dataclass(frozen=True)
class Bench:
    """What every part needs: where to write to, how often and how long (seconds) to measure."""

    client: docker.DockerClient
    results: Results
    model: fast_model.Model
    variants: tuple[Variant, ...]
    repeat: int
    seconds: float

    def turns(self, what: str) -> Iterator[Variant]:
        """Yield the variants `repeat` times over, and tell."""
        for number in range(1, self.repeat + 1):
            for variant in self.variants:
                say(f"{what}: {variant.name}, {number} of {self.repeat}")
                yield variant


def size(bench: Bench, subject: Subject) -> None:
    """Measure the images as they are in the engine, and as a registry holds them."""
    for variant in (PF, OURS, OFFICIAL):
        say(f"size: {subject.name}, {variant.name}")
        image = subject.image(variant)
        unpacked, compressed = (
            Figure("size", subject.name, name) for name in ("image, MB", "image, compressed, MB")
        )
        bench.results.add(unpacked, variant.name, measure.size(bench.client, image) / MB)
        bench.results.add(
            compressed, variant.name, measure.compressed_size(bench.client, image) / MB
        )


def build(bench: Bench, subject: Subject) -> None:
    """Measure a build with nothing built before, and builds after a change of the flow."""
    say(f"build: {subject.name}, ours once unmeasured, so that the packages are downloaded")
    subject.ours.clean()
    clean = Figure("build", subject.name, "clean, s")
    builds = (
        (PF, subject.pf.source, subject.pf.clean, subject.pf.build),
        (OURS, subject.ours.source, subject.ours.clean, subject.ours.build),
        (OFFICIAL, subject.official.source, subject.official.clean, subject.official.build),
    )
    for variant, _, build_clean, _ in builds:
        say(f"build: {subject.name}, {variant.name}, clean")
        bench.results.add(clean, variant.name, _built(subject, variant, build_clean).seconds)
    changed = Figure("build", subject.name, "after a change, s")
    alone = Figure("build", subject.name, "  docker build alone, s")
    for number in range(1, bench.repeat + 1):
        for variant, source, _, build_again in builds:
            say(f"build: {subject.name}, {variant.name} after a change, {number}")
            change(source, number)
            built = _built(subject, variant, build_again)
            bench.results.add(changed, variant.name, built.seconds)
            if built.docker_seconds is not None:
                bench.results.add(alone, variant.name, built.docker_seconds)


def _built(subject: Subject, variant: Variant, build_once: Callable[[], Built]) -> Built:
    built = build_once()
    subject.built[variant.image] = built.image
    return built


def change(source: Path, number: int) -> None:
    """Add a line to a file of the flow in `source`: Python if it has some, else a template."""
    path = min(source.glob("*.py"), default=None) or min(source.glob("*.jinja2"))
    line = f"CHANGE_{number} = {number}\n" if path.suffix == ".py" else f"{{# {number} #}}\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def start(bench: Bench, subject: Subject) -> None:
    """Measure from a container's start to its first answer, and its memory once it is idle."""
    seconds, processor, pss, cgroup = (
        Figure("start", subject.name, name)
        for name in (
            "first score, s",
            "processor time until then, s",
            "idle memory, PSS, MB",
            "idle memory, cgroup, MB",
        )
    )
    # The model answers this one at once: what is measured is the start.
    sample = {**subject.sample}
    if "question" in sample:
        sample["question"] = f"{fast_model.AT_ONCE}: {sample['question']}"
    add = bench.results.add
    with_one = replace(bench, variants=(*bench.variants, OFFICIAL, ONE_WORKER))
    for variant in with_one.turns(f"start: {subject.name}"):
        with subject.serve(variant, sample) as server:
            add(seconds, variant.name, server.first_score_seconds)
            add(processor, variant.name, server.processor_seconds)
            add(pss, variant.name, measure.idle_pss(server.container) / MB)
            add(cgroup, variant.name, measure.cgroup_memory(server.container) / MB)


def loads(bench: Bench, subject: Subject, clients: tuple[int, ...] | None = None) -> None:
    """Measure how many requests are answered, how fast, and in how much memory."""
    for variant in bench.turns(f"load: {subject.name}"):
        with subject.serve(variant) as server:
            load.run(server.url, subject.sample, WARM_CLIENTS, WARM_SECONDS)
            rate = 0.0
            quick = min(load.answer_seconds(server.url, subject.sample) for _ in range(3))
            for number in clients or CLIENTS[subject.name]:
                load.settle(server.url, subject.sample, quick)
                seconds = load.seconds_for(number, rate, bench.seconds) if rate else bench.seconds
                memory: list[int] = []
                found = load.run(
                    server.url,
                    subject.sample,
                    number,
                    seconds,
                    lambda memory=memory, it=server.container: memory.append(measure.pss(it)),  # type: ignore[misc]
                )
                rate = found.rate
                _add_load(bench, subject, variant, number, found, memory[0])


def _add_load(
    bench: Bench, subject: Subject, variant: Variant, clients: int, found: load.Load, pss: int
) -> None:
    for name, value, more in (
        ("requests/s", found.rate, True),
        ("p50, ms", found.p50 * 1000, False),
        ("p99, ms", found.p99 * 1000, False),
        ("errors", found.errors, False),
        ("memory meanwhile, PSS, MB", pss / MB, False),
        ("requests/s a GB", found.rate / (pss / GB), True),
    ):
        bench.results.add(
            Figure("load", about(subject.name, clients), name, more), variant.name, value
        )


def about(flow: str, clients: int) -> str:
    """Return what a load on `flow` is called."""
    kind = f"{flow}, model answers after 300 ms" if flow == LLM else f"{flow}, no model"
    return f"{kind}, {clients} clients" if clients > 1 else f"{kind}, 1 client"


def stream(bench: Bench, subject: Subject) -> None:
    """Measure how long streams that open at once wait for their first event."""
    for variant in bench.turns(f"stream: {subject.name}"):
        with subject.serve(variant) as server:
            load.run(server.url, subject.sample, WARM_CLIENTS, WARM_SECONDS)
            load.settle(server.url, subject.sample, fast_model.LATENCY_SECONDS)
            found = streams.run(server.host, PORT, PATH, subject.sample, STREAMS, bench.seconds)
            _add_streams(bench, variant.name, found)
        if variant == OURS:
            body = {"messages": [{"role": "user", "content": "why?"}], "stream": True}
            port, path = bench.model.port, fast_model.PATH
            found = streams.run("127.0.0.1", port, path, body, STREAMS, bench.seconds)
            _add_streams(bench, MODEL, found)


def _add_streams(bench: Bench, name: str, found: streams.Streams) -> None:
    bench.results.add(Figure("stream", STREAM, "p50, ms"), name, found.p50 * 1000)
    bench.results.add(Figure("stream", STREAM, "p99, ms"), name, found.p99 * 1000)
    bench.results.add(Figure("stream", STREAM, "errors"), name, found.errors)


def stop(bench: Bench, subject: Subject) -> None:
    """Count the requests that are lost when a server under load is stopped."""
    for variant in bench.turns(f"stop: {subject.name}"):
        with subject.serve(variant) as server:
            found = stopping.run(
                server.host, PORT, PATH, subject.sample, STOP_CLIENTS, server.terminate
            )
            counts = (found.under_way, found.lost, found.lost_later, found.failed_before)
            for figure, count in zip(STOP_FIGURES, counts, strict=True):
                bench.results.add(figure, variant.name, count)


Part = Callable[[Bench, Subject], None]
# Each part, and the flows that it is measured on. Builds come first: they time what others use.
PARTS: dict[str, tuple[Part, tuple[str, ...]]] = {
    "build": (build, ("faq", LLM)),
    "size": (size, ("faq", LLM)),
    "start": (start, ("faq", LLM)),
    "load": (loads, (PLAIN, LLM)),
    "stream": (stream, ("chat",)),
    "stop": (stop, (LLM,)),
}
