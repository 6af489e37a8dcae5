"""The decision record that inv advise writes."""

from __future__ import annotations

import datetime
import json
import signal
from pathlib import Path

import pytest

from deploy.advise import answers, decision_record
from deploy.advise.environments import Environment
from deploy.advise.recommend import recommend_targets
from deploy.core.errors import DeployError
from tests.unit.advise.advise_task import Terminal, advise, given

GOLDEN = Path(__file__).parent / "golden/where-triage-runs.md"
TODAY = datetime.date(2026, 11, 28)


@pytest.mark.parametrize("key", ["Ctrl-C", "Ctrl-D"])
def test_an_interruption_leaves_nothing(key: str, root: Path) -> None:
    terminal = Terminal(root, "--flow", "faq", "--adr", *given("team"))
    terminal.until("]: ")
    if key == "Ctrl-C":
        terminal.process.send_signal(signal.SIGINT)
    else:
        terminal.type("\x04")
    status, out, err = terminal.end()
    assert (status, out, err) == (130, "", "\ninterrupted: nothing was written\n")
    assert not (root / "docs").exists()


def the_record(root: Path, flow: str = "triage") -> Path:
    printed = answers.collect_answers(
        {"longest": "5", "clients": "services", "team": "ml", "rollout": "percent"}
    )
    environments = [
        Environment("local", frozenset()),
        Environment("dev", frozenset({"infra"})),
        Environment("prod", frozenset({"app", "registry"})),
    ]
    return decision_record.write(
        root, flow, printed, recommend_targets(printed, environments), TODAY
    )


def test_the_whole_record(tmp_path: Path) -> None:
    path = the_record(tmp_path)
    assert path == tmp_path / "docs/adr/0001-where-triage-runs.md"
    assert path.read_text("utf-8") == GOLDEN.read_text("utf-8"), (
        "python -m tests.unit.advise.test_advise"
    )


def test_records_are_numbered_and_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / decision_record.FOLDER
    folder.mkdir(parents=True)
    for name in ("0003-first.md", "0012-second.md", "notes.md", "12345-none.md"):
        (folder / name).touch()
    assert the_record(tmp_path).name == "0013-where-triage-runs.md"
    assert the_record(tmp_path, "faq").name == "0014-where-faq-runs.md"
    before = sorted(folder.iterdir())
    with pytest.raises(DeployError) as caught:
        the_record(tmp_path)
    assert str(caught.value) == (
        "docs/adr/0013-where-triage-runs.md: this flow already has a decision record, which is never "
        "overwritten\n"
        "  → edit it; or mark it as superseded, rename it and run this again"
    )
    assert sorted(folder.iterdir()) == before


def test_a_record_that_cannot_be_written_to_its_end_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        decision_record.create_file(
            tmp_path / "0001-where-faq-runs.md", f"{'long ' * 10_000}\ud800"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_record_needs_a_flow(root: Path) -> None:
    done = advise(root, "--adr")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "--adr: a decision record is for one flow\n  → add --flow\n"


def test_the_path_of_the_record_is_printed_with_the_advice(root: Path) -> None:
    done = advise(root, "--flow", "faq", "--adr", "--json", "--env", "prod")
    assert done.stderr == "\ndocs/adr/0001-where-faq-runs.md\n"
    assert json.loads(done.stdout)["flow"] == "faq"
    assert "# 1. Where faq runs\n" in (root / "docs/adr/0001-where-faq-runs.md").read_text("utf-8")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        GOLDEN.write_bytes(the_record(Path(made)).read_bytes())
