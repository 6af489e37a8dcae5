"""The target appservice interrupted: killed at every write, and by Ctrl-C. The next run goes on."""

from __future__ import annotations

import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from deploy.sandbox.appservice.routes import READ_ONLY_ROUTES
from deploy.sandbox.appservice.slot import Site
from deploy.sandbox.azure import Azure
from deploy.sandbox.http_exchange import Exchange
from deploy.testing import clients
from deploy.testing.scripted_project import ScriptedProject
from tests.integration import interruption, inv_process

# Of an update by a slot: its settings, its image, the swap.
WRITES = 3


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    """Processes that start at once: what they import is imported while the first versions start."""
    inv_process.prepare()


def writes(exchange: Exchange) -> bool:
    """Whether a request changes a site."""
    path = exchange.path
    reads = exchange.method == "GET" or path.endswith((*READ_ONLY_ROUTES, "checknameavailability"))
    return "/providers/Microsoft.Web/" in path and not reads


def interrupt(
    dev: ScriptedProject, azure: Azure, log: Path, image: int, number: int, with_: signal.Signals
) -> ForkServerProcess:
    """Deploy in a process of its own that gets a signal right after a write."""
    when = interruption.nth(writes, number)
    task = ("deploy", "--env", "dev", "--image", str(dev.image_file(image)))
    return interruption.interrupt(azure.arm.server, when, with_, dev.project.root, log, *task)


def test_killed_at_every_write(
    web_dev: ScriptedProject, azure: Azure, web_site: Site, tmp_path: Path
) -> None:
    log, first = tmp_path / "log", web_dev.deploy()
    with clients.run_clients(first.url, web_dev.headers()) as calls:
        for number in range(1, WRITES + 1):
            image, before = number % 2, web_site.production.settings["COLOUR"]
            web_dev.declare(f"colour{number}")
            process = interrupt(web_dev, azure, log, image, number, signal.SIGKILL)
            assert process.exitcode == -signal.SIGKILL, log.read_text("utf-8")
            found = web_dev.deploy(image=image)
            assert (found.state, found.tag) == ("healthy", web_dev.images[image].tag)
            assert web_dev.colour(found.url) == f"colour{number}"
            assert not web_dev.plan(image=image).has_changes
            assert web_site.slot("staging").settings["COLOUR"] == before, "for the way back"
        assert web_dev.rollback().state == "healthy"
    assert web_dev.colour(first.url) == f"colour{WRITES - 1}"
    assert calls.lost == []


def test_interrupted_by_ctrl_c(
    web_dev: ScriptedProject, azure: Azure, web_site: Site, tmp_path: Path
) -> None:
    """While the slot starts nothing has happened to production; a swap is taken back."""
    log, first = tmp_path / "log", web_dev.deploy()
    web_dev.declare("green")
    with clients.run_clients(first.url, web_dev.headers()) as calls:
        # The second finds the slot as it should be: its first write is the swap.
        for number in (2, 1):
            process = interrupt(web_dev, azure, log, 1, number, signal.SIGINT)
            printed = log.read_text("utf-8")
            assert process.exitcode == 130, printed
            assert "Traceback" not in printed
            assert printed.endswith(
                "interrupted\n  → run the command again: it continues where it stopped\n"
            )
            assert web_dev.colour(first.url) == "blue"
        assert "swapping back: the task was interrupted" in printed
        assert web_dev.deploy(image=1).state == "healthy"
    assert web_dev.colour(first.url) == "green"
    assert calls.lost == []


def test_in_place_killed_between_its_two_writes(
    web_dev: ScriptedProject, azure: Azure, web_site: Site, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    web_dev.declare(slot=None)
    first = web_dev.deploy()
    web_dev.declare("green", slot=None)
    process = interrupt(web_dev, azure, log, 1, 1, signal.SIGKILL)
    assert process.exitcode == -signal.SIGKILL, log.read_text("utf-8")
    found = web_dev.deploy(image=1)
    assert (found.state, web_dev.colour(found.url)) == ("healthy", "green")
    back = web_dev.rollback()
    assert (back.state, back.tag) == ("healthy", first.tag)
