"""The target azureml interrupted: killed at every write, and by Ctrl-C. The next run goes on."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from deploy.targets.azureml import naming
from deploy.testing.waiting import until
from tests.integration import interruption, inv_process
from tests.integration.azureml_serving import Standing, writes

# Of an update: the environment, the deployment, three steps of the ramp, and the oldest version.
WRITES = 6
SECONDS = 60


def state(world: Standing) -> Any:
    """What an update leaves behind, with neutral names and without times."""
    names = {world.named(world.now): "NEW", world.named(world.other): "OLD"}
    endpoint = world.endpoint
    found = {
        "state": endpoint.state,
        "traffic": world.workspace.live_traffic(endpoint.name),
        "mirror": endpoint.mirror,
        "tags": {**endpoint.tags, naming.SINCE_TAG: ""},
        "deployments": {
            name: [
                one.state,
                one.capacity,
                one.properties["environmentId"],
                one.properties["instanceType"],
                {**one.tags, naming.DEPLOYED_AT_TAG: ""},
            ]
            for name, one in endpoint.deployments.items()
        },
    }
    text = json.dumps(found, sort_keys=True)
    # The longest first: one name may be the beginning of the other.
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, names[name])
    return json.loads(text)


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    """Processes that start at once: what they import is imported while the first versions start."""
    inv_process.prepare()


@pytest.fixture(scope="module")
def undisturbed(standing: Standing) -> Any:
    """What an update leaves behind that nothing interrupts."""
    standing.azure.arm.server.reset()
    with standing.scored():
        standing.deploy(standing.fresh())
    assert len(standing.workspace.writes) == WRITES, standing.workspace.writes
    return state(standing)


def interrupt(
    world: Standing, log: Path, colour: str, number: int, with_: signal.Signals
) -> ForkServerProcess:
    """Deploy a version in a process of its own that gets a signal right after a write."""
    world.declare(colour)
    when = interruption.nth(writes, number)
    task = ("deploy", "--env", "dev", "--image", str(world.image_file))
    server, root = world.azure.arm.server, world.project.root
    return interruption.interrupt(server, when, with_, root, log, *task)


@pytest.mark.parametrize("nth", range(1, WRITES + 1))
def test_killed_at_every_write(world: Standing, undisturbed: Any, tmp_path: Path, nth: int) -> None:
    colour = world.fresh()
    with world.scored():
        process = interrupt(world, tmp_path / "log", colour, nth, signal.SIGKILL)
        assert process.exitcode == -signal.SIGKILL, (tmp_path / "log").read_text("utf-8")
        world.deploy(colour)
    # What was being removed already, nobody waits for.
    until(lambda: len(world.colours()) == 2)
    assert world.now == colour
    assert state(world) == undisturbed
    assert not world.plan(colour).has_changes


def test_the_next_run_waits_for_the_operation_of_a_killed_one(
    world: Standing, tmp_path: Path
) -> None:
    other, gate = world.other, world.workspace.pace.completion_gate
    looks = world.azure.arm.server.requests
    with world.scored(), ThreadPoolExecutor(1) as pool:
        gate.clear()
        try:
            interrupt(world, tmp_path / "log", other, 1, signal.SIGKILL)
            assert world.endpoint.is_busy
            before = len(looks("GET"))
            again = pool.submit(world.deploy, other)
            until(lambda: len(looks("GET")) > before + 15)
            assert not again.done()
        finally:
            gate.set()
        again.result(SECONDS)
    assert world.traffic() == {other: 100}


@pytest.mark.parametrize(
    ("with_", "status", "nth"),
    [(signal.SIGINT, 130, 1), (signal.SIGINT, 130, 3), (signal.SIGTERM, 143, 2)],
)
def test_interrupted_while_traffic_moves(
    world: Standing, tmp_path: Path, with_: signal.Signals, status: int, nth: int
) -> None:
    now, other, log = world.now, world.other, tmp_path / "log"
    with world.unharmed():
        process = interrupt(world, log, other, nth, with_)
        said = log.read_text("utf-8")
        assert process.exitcode == status, said
    assert f"traffic   back to {world.named(now)} 100 %" in said
    assert "Traceback" not in said
    if with_ == signal.SIGINT:
        assert said.endswith(
            "interrupted\n  → run the command again: it continues where it stopped\n"
        )


def test_interrupted_while_a_version_starts(world: Standing, tmp_path: Path) -> None:
    now, colour, log = world.now, world.fresh(), tmp_path / "log"
    with world.scored():
        process = interrupt(world, log, colour, 2, signal.SIGINT)
        assert process.exitcode == 130, log.read_text("utf-8")
        assert world.traffic() == {now: 100}
        world.deploy(colour)
    assert world.now == colour
    # The next run went on with what this one began.
    assert (
        len(
            [
                one
                for one in world.workspace.writes
                if one.startswith("PUT onlineEndpoints/") and "/deployments/" in one
            ]
        )
        == 1
    )
