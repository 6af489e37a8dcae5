"""`inv test`: which tests run for which flags."""

from __future__ import annotations

from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from deploy.ci import changes
from deploy.ci.changes import Changes
from deploy.cli import develop, repository
from deploy.config import configuration
from tests import projects


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record commands instead of running them; the project has one flow."""
    recorded: list[str] = []
    monkeypatch.setattr(repository, "ROOT", projects.make(tmp_path, {}).root)
    monkeypatch.setattr(develop, "_run_commands", lambda c, *lines: recorded.extend(lines))
    monkeypatch.setattr(develop, "check", lambda c: recorded.append("check"))
    return recorded


def run(**flags: object) -> None:
    develop.test.body(Context(), **flags)


@pytest.mark.parametrize("flags", [{"flows": True}, {"flow": "hello"}])
def test_the_tests_of_flows_run_alone(flags: dict[str, object], commands: list[str]) -> None:
    run(**flags)
    assert commands == ["pytest -v tests/flows --flow=hello"]


def test_an_unknown_flow_is_an_error(commands: list[str]) -> None:
    with pytest.raises(Exit, match="there is no flow 'helo' under flows/"):
        run(flow="helo")
    assert commands == []


def test_without_flows_there_is_nothing_to_test(
    commands: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (repository.ROOT / "flows").rename(repository.ROOT / "elsewhere")
    run(flows=True)
    assert (commands, capsys.readouterr().out) == ([], "no flow to test\n")


@pytest.mark.parametrize("tool", [False, True])
def test_the_tool_is_tested_only_if_it_changed(
    tool: bool, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flows = tuple(configuration.load_flows(repository.open_project()))
    monkeypatch.setattr(changes, "find_changes", lambda *_: Changes(flows, tool=tool))
    run(since="main")
    assert commands[0] == "check"
    if tool:
        assert any("not alone" in command for command in commands)
    else:
        assert commands == ["check", "pytest -v tests/flows --flow=hello"]


def test_everything_runs_without_flags(commands: list[str]) -> None:
    run()
    assert commands[0] == "check"
    assert [command.partition(" ")[0] for command in commands[1:]] == ["pytest", "pytest", "python"]
