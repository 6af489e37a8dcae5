"""`inv sandbox`: every command of a delivery, as people call it, against an emulated Azure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.emulator import delivery
from tests.emulator.sandbox import Sandbox
from tests.integration.conftest import built

ROOT = Path(__file__).parents[2]


def test_a_whole_delivery(
    registry_program: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    built("faq")
    given: list[str] = []
    access = Sandbox.access

    def noted(sandbox: Sandbox, workspace: str, endpoint: str) -> tuple[str, dict[str, str]]:
        url, headers = access(sandbox, workspace, endpoint)
        given.append(headers["Authorization"].partition(" ")[2])
        return url, headers

    monkeypatch.setattr(Sandbox, "access", noted)
    with Sandbox(ROOT) as sandbox:
        status = delivery.deliver(sandbox, "dev", "faq")
        assert sandbox.azure.problems() == []
    output = "".join(capfd.readouterr())
    assert status == 0, output
    (key,) = given
    assert key not in output
    # The table at the end has a row for each step.
    table = output[output.rindex("\nstep ") :]
    assert len(
        re.findall(r"  inv \w+ .*--env dev --flow faq  .* [02]$", table, re.MULTILINE)
    ) == len(delivery.STEPS)
    assert re.search(r"callers had [1-9]\d* answers and lost 0 requests", output)


def test_an_environment_that_there_is_not(
    registry_program: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["delivery", "--env", "no-such"])
    assert delivery.main() == 1
    assert "environments.yaml has no such environment" in capfd.readouterr().err
