"""`inv sandbox`: every command of a delivery, as people call it, against an emulated Azure."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from deploy.config.target import AnySpec
from deploy.sandbox import demo
from deploy.sandbox.sandbox import Sandbox
from tests import projects
from tests.integration import inv_process
from tests.integration.conftest import built


def test_whole_deliveries(
    registry_program: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """To Azure Machine Learning for dev and to App Service for prod, as configuration has it."""
    built("faq")
    keys: list[str] = []
    access = Sandbox.get_scoring_access

    def noted(sandbox: Sandbox, spec: AnySpec) -> tuple[str, dict[str, str]]:
        url, headers = access(sandbox, spec)
        keys.append(headers["Authorization"].partition(" ")[2])
        return url, headers

    def inv(sandbox: Sandbox, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a task in a process that has imported Azure's SDK, which takes seconds each time."""
        log = sandbox.root / "log"
        process = inv_process.inv(sandbox.root, log, *arguments, variables=sandbox.environment)
        process.join()
        print(log.read_text("utf-8"))
        return subprocess.CompletedProcess(arguments, process.exitcode or 0)

    inv_process.prepare()
    monkeypatch.setattr(Sandbox, "get_scoring_access", noted)
    monkeypatch.setattr(Sandbox, "inv", inv)
    with Sandbox(projects.linked_repository()) as sandbox:
        targets = {spec.environment: spec.target for spec in sandbox.specs(flow="faq")}
        status = demo.deliver_to_environments(sandbox, flow="faq")
        assert sandbox.azure.problems() == []
    assert targets == {"dev": "azureml", "prod": "appservice"}
    output = "".join(capfd.readouterr())
    assert status == 0, output
    assert len(set(keys)) == len(targets)
    assert not any(key in output for key in keys)
    # The table at the end of each has a row for each step.
    rows = re.findall(r"  inv \w+ .*--env (\w+) --flow faq  .* [02]$", output, re.MULTILINE)
    assert rows == [name for name in targets for _ in demo.STEPS]
    answered = re.findall(r"clients received [1-9]\d* responses and lost 0 requests", output)
    assert len(answered) == len(targets)


@pytest.mark.bases
@pytest.mark.skipif("FLOW_BASE_IMAGE" not in os.environ, reason="test_whole_deliveries has more")
def test_a_delivery_on_a_base_that_is_given(registry_program: None) -> None:
    built("faq")
    with Sandbox(projects.linked_repository()) as sandbox:
        status = demo.deliver_to_environments(sandbox, "dev", "faq")
        assert sandbox.azure.problems() == []
    assert status == 0


def test_an_unknown_environment(
    registry_program: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "ROOT", projects.linked_repository())
    monkeypatch.setattr("sys.argv", ["delivery", "--env", "no-such"])
    assert demo.main() == 1
    assert "environments.yaml has no such environment" in capfd.readouterr().err
