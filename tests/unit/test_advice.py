"""`inv advise` as people meet it: flags, questions, mistakes, the record, the page."""

from __future__ import annotations

import datetime
import inspect
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.advise import answers, decision_record, environments, report
from deploy.advise.answers import QUESTIONS
from deploy.advise.environments import Environment
from deploy.advise.facts import CONTAINERAPPS
from deploy.advise.recommend import recommend_targets
from deploy.cli import advise as advise_tasks
from deploy.core.errors import DeployError
from tests import choosing

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden/where-triage-runs.md"
TODAY = datetime.date(2026, 11, 28)
INV = str(Path(sys.executable).with_name("inv"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return choosing.project(tmp_path)


def advise(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [INV, "advise", *arguments],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_page_says_what_is_known_and_shows_what_is_printed() -> None:
    text = choosing.PAGE.read_text("utf-8")
    assert len(re.findall(r"^<!-- example: inv advise ", text, re.MULTILINE)) == 3
    assert text == choosing.page(text), "python -m tests.choosing"


def test_links_of_the_page_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#:]+?)(?:#[\w-]+)?\)", choosing.PAGE.read_text("utf-8")):
        assert (choosing.PAGE.parent / link).exists(), link


def test_every_question_has_its_flag() -> None:
    known = inspect.signature(advise_tasks.advise.body).parameters
    others = {"c", "flow", "env", "adr", "json"}
    assert set(known) - others == {question.name for question in QUESTIONS}


def test_all_mistakes_are_told_at_once_with_the_nearest_right_thing(root: Path) -> None:
    wrong = ["--longest", "soon", "--peak", "0", "--network", "privat", "--streaming", "maybe"]
    done = advise(root, "--flow", "fak", "--env", "local,prd", *wrong)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "--flow: there is no flow 'fak' under flows/\n"
        "  → did you mean faq?\n"
        "--env prd: environments.yaml has no such environment\n"
        "  → did you mean prod?\n"
        "--longest: 'soon' is no number above 0\n"
        "  → in s, such as 60\n"
        "--streaming: 'maybe' is none of the answers\n"
        "  → known: yes, no\n"
        "--peak: '0' is no number above 0\n"
        "  → in requests/s, such as 10\n"
        "--network: 'privat' is none of the answers\n"
        "  → did you mean private?\n"
    )


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "1e400", "ten", "1 0"])
def test_what_is_no_number_above_0(text: str) -> None:
    with pytest.raises(DeployError) as caught:
        answers.collect_answers({"peak": text})
    assert str(caught.value) == (
        f"--peak: {text!r} is no number above 0\n  → in requests/s, such as 10"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "environments.yaml: there is no such file\n  → create it"),
        ("{}\n", "environments.yaml: it names no environment\n  → docs/configuration.md"),
        ("prod: [1]\n", "environments.yaml:1: prod: a mapping is expected"),
        (
            "a: {b\n",
            "environments.yaml:2: expected ',' or '}', but got '<stream end>'\n  → correct the YAML",
        ),
    ],
)
def test_environments_that_cannot_be_read(
    content: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content:
        (tmp_path / "environments.yaml").write_text(content, "utf-8")
    with pytest.raises(DeployError) as caught:
        environments.read_environments(tmp_path)
    assert str(caught.value) == expected


def test_environments_are_known_by_their_keys(tmp_path: Path) -> None:
    text = "local:\nbuilder: {engine: 'tcp://b:1', registry: r}\nboth: {workspace: w, app: a}\n"
    (tmp_path / "environments.yaml").write_text(text + "dev: {app: a}\n", "utf-8")
    local, builder, both, dev = environments.read_environments(tmp_path)
    assert [one.is_local for one in (local, builder, both, dev)] == [True, True, False, False]
    assert [one.configured_target for one in (both, dev)] == [None, "appservice"]
    assert [one.name for one in environments.read_environments(tmp_path, " dev, local,,dev")] == [
        "dev",
        "local",
    ]


def test_json_has_all_of_it(root: Path) -> None:
    done = advise(root, "--json", "--env", "prod", "--cost", "zero", "--cold-starts", "yes")
    data = json.loads(done.stdout)
    assert done.stderr == ""
    assert data["flow"] is None
    assert {one["answer"] for one in data["answers"] if one["by"] == "given"} == {
        "cost",
        "cold-starts",
    }
    (prod,) = data["environments"]
    assert (prod["target"], prod["by_extension"]) == (CONTAINERAPPS, True)
    assert prod["ways"] == [{"answer": "cost", "value": "instances", "target": "appservice"}]
    assert prod["settings"] == {"target": CONTAINERAPPS, "app": "flow-prod", "auth": "key"}
    for reason in (*prod["reasons"], *prod["ruled_out"]):
        assert reason["fact"]["source"]["link"]


def test_where_nothing_fits_the_ways_out_are_told() -> None:
    given = answers.collect_answers({"cost": "zero", "cold_starts": "no", "longest": "100"})
    (found,) = recommend_targets(given, [Environment("prod", frozenset({"infra"}))])
    text = report.render_text("faq", given, [found])
    assert "prod: nothing does all of this\n  ruled out     azureml:" in text
    assert [report.format_alternative(way) for way in found.alternatives] == [
        "--cold-starts yes: containerapps (Azure Container Apps)",
        "--cost instances: appservice (Azure App Service)",
    ]
    assert "deploy.yaml" not in text


def test_it_is_quick_and_imports_nothing_heavy(root: Path) -> None:
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert advise(root, "--flow", "faq").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Of the processor, the best of three: the machine may be busy with something else.
    assert min(times) < 0.7
    code = (
        "import sys, pathlib; from deploy.advise import advise\n"
        f"advise(pathlib.Path({str(root)!r}), None, '', {{}})\n"
        "print(' '.join(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "ruamel" in loaded
    assert loaded.isdisjoint({"docker", "pydantic", "requests", "dotenv", "uv", "azure"})


class Terminal:
    """`inv advise` with somebody at the keyboard."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self._keys, side = os.openpty()
        self.process = subprocess.Popen(
            [INV, "advise", *arguments],
            cwd=root,
            stdin=side,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(side)

    def until(self, text: str) -> str:
        """Return what is said up to `text`, and with it."""
        said, stream = b"", self.process.stderr
        assert stream
        while not said.endswith(text.encode()):
            byte = stream.read(1)
            assert byte, said.decode()
            said += byte
        return said.decode()

    def type(self, text: str) -> None:
        os.write(self._keys, text.encode())

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        os.close(self._keys)
        return self.process.returncode, out.decode(), err.decode()


def given(*but: str) -> list[str]:
    """Return flags for the default of every question but some."""
    return [part for one in QUESTIONS if one.name not in but for part in (one.flag, one.default)]


def test_what_is_missing_is_asked_and_asked_again_where_it_cannot_be_read(root: Path) -> None:
    terminal = Terminal(root, "--env", "prod", *given("longest", "network"))
    assert terminal.until("]: ") == (
        "\nHow long until all of the longest answer is there?\ns [60]: "
    )
    terminal.type("400\n")
    assert terminal.until("]: ") == (
        "\nFrom where do callers come?\n"
        "  public     the internet\n"
        "  vnet       a virtual network; an address in the internet does no harm\n"
        "  private    a virtual network, and there may be no other way in\n"
        "public/vnet/private [public]: "
    )
    terminal.type("privat\n")
    assert terminal.until("]: ").startswith(
        "--network: 'privat' is none of the answers\n  → did you mean private?\n\nFrom where"
    )
    terminal.type("\n")
    status, out, err = terminal.end()
    assert (status, err) == (0, "")
    assert "longest 400 s" in out and "network public" in out and "assumed" not in out
    assert "prod: containerapps (Azure Container Apps, by extension)\n" in out


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
    said = answers.collect_answers(
        {"longest": "5", "callers": "services", "team": "ml", "rollout": "percent"}
    )
    environments = [
        Environment("local", frozenset()),
        Environment("dev", frozenset({"infra"})),
        Environment("prod", frozenset({"app", "registry"})),
    ]
    return decision_record.write(root, flow, said, recommend_targets(said, environments), TODAY)


def test_the_record_in_whole(tmp_path: Path) -> None:
    path = the_record(tmp_path)
    assert path == tmp_path / "docs/adr/0001-where-triage-runs.md"
    assert path.read_text("utf-8") == GOLDEN.read_text("utf-8"), "python -m tests.unit.test_advice"


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
        "docs/adr/0013-where-triage-runs.md: this flow has a record already, and a decision is not "
        "overwritten\n"
        "  → change it by hand; or mark it as superseded, rename it and run this again"
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
    assert done.stderr == "--adr: a record is about one flow\n  → add --flow\n"


def test_the_record_is_said_beside_the_advice(root: Path) -> None:
    done = advise(root, "--flow", "faq", "--adr", "--json", "--env", "prod")
    assert done.stderr == "\ndocs/adr/0001-where-faq-runs.md\n"
    assert json.loads(done.stdout)["flow"] == "faq"
    assert "# 1. Where faq runs\n" in (root / "docs/adr/0001-where-faq-runs.md").read_text("utf-8")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        GOLDEN.write_bytes(the_record(Path(made)).read_bytes())
