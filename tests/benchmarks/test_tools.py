"""The measuring tools: the model server, the clients, the tables."""

from __future__ import annotations

import asyncio
import json
import socket
import tarfile
import threading
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.benchmarks import chart, compare, fast_model, load, measure, stopping, streams, table
from tests.benchmarks.fast_model import PATH, Model
from tests.benchmarks.parts import LLM, about
from tests.benchmarks.percentiles import percentile
from tests.benchmarks.results import Figure, Results


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    """A fast model server that takes a moment."""
    with fast_model.serve(latency=0.05) as running:
        yield running


def url(model: Model) -> str:
    return f"http://127.0.0.1:{model.port}{PATH}"


def test_the_model_answers_with_length_and_with_chunks_on_one_connection(model: Model) -> None:
    body = json.dumps({"messages": []}).encode()
    with requests.Session() as session:
        for data in (body, iter([body[:5], body[5:]]), body):
            answer = session.post(url(model), data=data, timeout=10)
            assert answer.json()["choices"][0]["finish_reason"] == "stop"
            assert answer.elapsed.total_seconds() >= 0.05


def test_the_model_answers_requests_in_one_packet_in_their_order(model: Model) -> None:
    path = PATH.encode()
    one = b"POST %s HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}" % path
    in_chunks = b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" % path
    other = b"POST /v1/traces HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz"
    with socket.create_connection(("127.0.0.1", model.port), timeout=10) as connection:
        connection.sendall(one + in_chunks + other)
        received = b""
        # Only the last answer has no body.
        while not received.endswith(b"length: 0\r\n\r\n"):
            received += connection.recv(65536)
    answers = received.split(b"HTTP/1.1 200 OK")[1:]
    assert [b"finish_reason" in answer for answer in answers] == [True, True, False]


def test_streams_have_a_first_event_after_the_models_latency(model: Model) -> None:
    found = streams.run("127.0.0.1", model.port, PATH, {"stream": True}, clients=4, seconds=0)
    assert found.errors == 0
    assert 0.05 <= found.p50 <= found.p99 < 0.05 + fast_model.CHUNKS * fast_model.CHUNK_SECONDS


def test_answers_that_are_no_streams_have_no_event(model: Model) -> None:
    with pytest.raises(RuntimeError, match="none of 4 streams"):
        streams.run("127.0.0.1", model.port, PATH, {}, clients=2, seconds=0)


class Server:
    """Answers with `answer`; at `end` it closes connections (`drop`), or finishes what runs."""

    def __init__(self, drop: bool, announce: bool = False) -> None:
        self.drop = drop
        self.announce = announce
        self.ending = False
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.started = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.started.wait(10)

    def _run(self) -> None:
        self.loop.run_until_complete(self._listen())
        self.loop.run_forever()

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.started.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                await asyncio.sleep(0.1)
                # Read once: another thread sets it.
                ending = self.ending
                closing = b"Connection: close\r\n" if ending and self.announce else b""
                writer.write(b"HTTP/1.1 200 OK\r\n" + closing + b"Content-Length: 2\r\n\r\n{}")
                if ending:
                    writer.close()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    def end(self) -> None:
        """Do what SIGTERM would make it do."""
        self.ending = True
        if self.drop:
            done = threading.Event()
            self.loop.call_soon_threadsafe(self._drop, done)
            assert done.wait(10)

    def _drop(self, done: threading.Event) -> None:
        for writer in self.writers:
            writer.transport.abort()
        done.set()


def stop(server: Server) -> stopping.Stop:
    return stopping.run("127.0.0.1", server.port, "/", {}, 8, server.end)


def test_requests_are_lost_where_the_server_drops_its_connections() -> None:
    found = stop(Server(drop=True))
    assert found.under_way > 0
    assert (found.lost, found.failed_before) == (found.under_way, 0)


def test_no_request_is_lost_if_the_server_announces_the_close() -> None:
    found = stop(Server(drop=False, announce=True))
    assert found.under_way > 0
    assert (found.lost, found.lost_later, found.failed_before) == (0, 0, 0)


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99), percentile([7.0], 99)) == (50, 99, 7)


def test_a_report_of_wrk_counts_every_other_answer_as_an_error() -> None:
    report = {"requests": 100, "duration": 2_000_000, "p50": 300_000, "p99": 400_000}
    output = f"Running 2s test\n{json.dumps({**report, 'status': 10, 'broken': 1})}\n"
    assert load.parsed(output) == load.Load(rate=45, p50=0.3, p99=0.4, errors=11)


def test_a_load_lasts_until_each_client_had_its_turns() -> None:
    assert load.seconds_for(256, rate=1000, least=10) == 10
    assert load.seconds_for(256, rate=25, least=10) == pytest.approx(30.72)
    assert load.seconds_for(256, rate=1, least=10) == load.LONGEST_SECONDS


class FakeEngine:
    """An engine that saves one image with these layers."""

    def __init__(self, *layers: bytes) -> None:
        self.layers = layers
        self.images = self

    def get(self, image: str) -> FakeEngine:
        return self

    def save(self, chunk_size: int) -> list[bytes]:
        names = [f"{number}/layer.tar" for number in range(len(self.layers))]
        files: dict[str, bytes] = dict(zip(names, self.layers, strict=True))
        files["manifest.json"] = json.dumps([{"Layers": names}]).encode()
        buffer = BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, BytesIO(content))
        return [buffer.getvalue()]


def test_compressed_size_is_the_sum_of_layers_compressed_one_by_one() -> None:
    packer = zlib.compressobj(6, zlib.DEFLATED, measure.GZIP)
    packed = packer.compress(b"layer " * 10_000) + packer.flush()
    engine: Any = FakeEngine(b"layer " * 10_000, packed, b"")
    empty = zlib.compressobj(6, zlib.DEFLATED, measure.GZIP).flush()
    assert measure.compressed_size(engine, "any") == 2 * len(packed) + len(empty)


def results() -> Results:
    found = Results()
    rate = Figure("load", about(LLM, 64), "requests/s", more=True)
    for name, values in (("pf", [25.0, 24.0, 26.0]), ("pf tuned", [131.0]), ("ours", [200.0])):
        for value in values:
            found.add(rate, name, value)
    found.add(Figure("size", LLM, "image, compressed, MB"), "pf", 400.0)
    found.add(Figure("size", LLM, "image, compressed, MB"), "ours", 40.0)
    return found


def test_a_table_has_medians_extremes_and_ratios() -> None:
    lines = [line.split("  ") for line in table.text(results()).splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells[0] == [f"load: {about(LLM, 64)}", "pf", "pf tuned", "ours", "ours/pf", "ours/pf tuned"]  # fmt: skip
    assert cells[1] == ["requests/s", "25 (24–26)", "131", "200", "8.00", "1.53"]


def test_results_survive_json() -> None:
    data = json.loads(json.dumps(results().data()))
    assert Results.of_data(data) == results()


def test_the_chart_has_the_ratio_to_ours() -> None:
    root = ET.fromstring(chart.svg(results()))  # noqa: S314 - made here
    texts = [element.text for element in root.iter() if element.text]
    assert "ours: 8 × pf, 1.53 × pf tuned" in texts
    assert "ours: 1/10 of pf" in texts


def test_unmeasured_figures_cannot_be_shown_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "KEPT", tmp_path / "results.json")
    assert compare.main(["--again"]) == 1
    printed = "error: nothing was measured yet\n  → `inv bench`, without --again\n"
    assert capsys.readouterr().err == printed
