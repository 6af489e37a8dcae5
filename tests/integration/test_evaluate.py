"""Evaluations on the real thing: flows in containers with their locked packages, prompt flow's own batch runs."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from deploy.config import configuration
from deploy.core.errors import DeployError
from deploy.docker import isolated, tar_files
from deploy.evaluation import evaluate, history, report
from deploy.evaluation.evaluate import Report
from deploy.evaluation.history import Record
from deploy.sandbox import model_server
from deploy.sandbox.model_server import ModelServer
from tests import projects
from tests.integration import inv_process
from tests.integration.conftest import ROOT, built
from tests.made_up import LETTERS, text

SECRET = text(LETTERS, 24)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The flows of the repository in a folder where nobody else writes."""
    root = (tmp_path / "copy").resolve()
    shutil.copytree(ROOT / "flows", root / "flows")
    shutil.copy(ROOT / "environments.yaml", root)
    monkeypatch.chdir(root)
    return root


def run(project: configuration.Project, name: str, environment: str | None = None) -> Report:
    return evaluate.evaluate(project, configuration.load_flow(project, name), environment)


def everything(root: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Return all that a run has said and written."""
    said = capfd.readouterr()
    kept = [path.read_text(encoding="utf-8") for path in (root / history.FOLDER).iterdir()]
    return "\n".join([said.out, said.err, *kept])


def test_a_flow_without_a_model(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = configuration.open_project(copy)
    earlier = {"evaluation/accuracy": {"found": 1.0, "first": 0.75}}
    history.save_record(
        copy, Record("faq", "0" * 12, "", "2026-11-01", "other", True, earlier, {}, [])
    )
    found = run(project, "faq")
    report.show([found])
    said = capfd.readouterr()
    assert said.out == (
        "flow  evaluation           metric    now  before  change  wanted        passed\n"
        "faq   evaluation/accuracy  found     1    1       0       at least 1    yes\n"
        "faq   evaluation/accuracy  first     1    0.75    +0.25   at least 0.8  yes\n"
        "faq   evaluation/accuracy  answered  1    -       -       at least 0.9  yes\n"
    )
    assert said.err.endswith(
        "before is the last run that passed: 2026-11-01, image tag 000000000000, of other rows\n"
    )
    assert found.problems == ()
    kept = history.load_last_passed(copy, "faq")
    assert kept == found.record
    assert kept.tag == built("faq")[1].tag
    assert kept.rows[1]["inputs"]["section"] == "Holidays"
    assert kept.rows[1]["outputs"]["sources"][0] == "Holidays"
    assert kept.rows[1]["evaluations"]["evaluation/accuracy"]["outputs"]["first"] is True
    assert len(kept.rows) == 13


def test_a_flow_with_a_model_is_judged_by_code_and_by_a_model(
    copy: Path, model: ModelServer, variables: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    project = configuration.Project(copy, variables)
    found = run(project, "triage")
    assert found.problems == ()
    assert found.record.metrics == {
        "evaluation/category": {"accuracy": 1.0, "missed_incidents": 0.0},
        "evaluation/judge": {"fit": 5.0},
    }
    # Ten tickets sorted, four of them answered, ten replies graded.
    assert len(model.requests) == 24
    tokens = model_server.USAGE["total_tokens"]
    assert sum(found.record.tokens.values()) == 24 * int(str(tokens))
    assert model_server.KEY not in everything(copy, capfd)


FLOW = """\
import os

from promptflow.core import tool


@tool
def answer(question: str) -> str:
    print("it knows", os.environ["MY_TOKEN"])
    if question == "who?":
        raise ValueError(f"nobody has {os.environ['MY_TOKEN']}")
    return f"since {os.environ['MY_TOKEN']}"
"""
JUDGE = """\
def judge(answer: str, truth: str) -> dict:
    return {"right": answer.endswith(truth), "length": len(answer)}
"""
EVALUATION = """\
evaluation:
  data: evaluation/questions.jsonl
  flows:
    evaluation/match:
      inputs:
        answer: ${run.outputs.answer}
      thresholds:
        right: 0.9
        length: {min: 1}
        recall: 0.5
"""


@pytest.fixture
def failing(project: configuration.Project) -> Iterator[configuration.Project]:
    """A project whose flow fails at two of four rows, and knows a secret."""
    local = "  local: {target: local, env: {secret: [MY_TOKEN]}}\n"
    questions = ["why?", "who?", "when?", "who?"]
    rows = [{"question": question, "truth": SECRET[:12]} for question in questions]
    files = {
        "flows/hello/deploy.yaml": projects.DEPLOY.replace("  local: {target: local}\n", local)
        + EVALUATION,
        "flows/hello/answer.py": FLOW,
        "flows/hello/evaluation/questions.jsonl": "\n".join(json.dumps(row) for row in rows),
        "flows/hello/evaluation/match/flow.flex.yaml": "entry: match:judge\n",
        "flows/hello/evaluation/match/match.py": JUDGE,
        "flows/hello/requirements.txt": None,
    }
    projects.make(project.root, {**files, "flows/hello/requirements.txt": FAQ})
    yield replace(project, environ={"MY_TOKEN": SECRET})


FAQ = (ROOT / "flows/faq/requirements.txt").read_text(encoding="utf-8")


def test_rows_that_fail_thresholds_that_are_missed_and_no_secret_anywhere(
    failing: configuration.Project, capfd: pytest.CaptureFixture[str]
) -> None:
    earlier: dict[str, Any] = {"evaluation/match": {"right": 1.0}}
    good = Record("hello", "0" * 12, "", "2026-11-01", "other", True, earlier, {}, [])
    history.save_record(failing.root, good)
    found = run(failing, "hello", "local")
    assert "\n".join(map(str, found.problems)) == (
        "flows/hello/evaluation/questions.jsonl:2: the flow failed: "
        "Execution failure in 'answer': (ValueError) nobody has ***\n"
        "  the same in line 4\n"
        "flows/hello/deploy.yaml:12: evaluation.flows.evaluation/match.thresholds.right: "
        "right is 0, and at least 0.9 is wanted\n"
        "  → every row is in .artifacts/evaluations/hello.failed.json\n"
        "flows/hello/deploy.yaml:14: evaluation.flows.evaluation/match.thresholds.recall: "
        "evaluation/match measured no recall\n"
        "  → it measured right, length"
    )
    # What the flow answers is what it is judged by: the secret was whole then.
    assert found.record.metrics["evaluation/match"]["length"] == len(f"since {SECRET}")
    assert found.record.rows[0]["outputs"] == {"answer": "since ***"}
    assert found.record.rows[1] == {
        "line": 2,
        "inputs": {"question": "who?", "truth": SECRET[:12]},
        "error": "Execution failure in 'answer': (ValueError) nobody has ***",
        "evaluations": {"evaluation/match": {}},
    }
    assert history.load_last_passed(failing.root, "hello") == good
    said = everything(failing.root, capfd)
    assert SECRET not in said
    # At once, the first of the two that has failed.
    assert re.search(r"^hello: evaluate  flows/.*:[24]: the flow failed: ", said, re.MULTILINE)


def test_a_missing_variable_of_an_environment(failing: configuration.Project) -> None:
    with pytest.raises(DeployError) as caught:
        run(replace(failing, environ={}), "hello", "local")
    assert (
        str(caught.value) == "hello in local: env.secret: MY_TOKEN is not set\n  → put it into .env"
    )


PROMPTY = """\
evaluation:
  data: evaluation/texts.jsonl
  flows:
    evaluation/length:
      inputs:
        text: ${run.outputs.output}
        before: ${data.text}
"""


def test_a_prompty_by_the_identity_of_whoever_is_logged_in(
    copy: Path,
    model: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = copy / "flows/rewrite/evaluation/length"
    folder.mkdir(parents=True)
    (folder.parent / "texts.jsonl").write_text('{"text": "ab"}\n{"text": "abcd"}\n')
    (folder / "flow.flex.yaml").write_text("entry: longer:longer\n")
    code = "async def longer(text: str, before: str) -> dict:\n    return {'more': len(text) - len(before)}\n"
    (folder / "longer.py").write_text(code)
    with (copy / "flows/rewrite/deploy.yaml").open("a") as file:
        file.write(PROMPTY)
    # As on App Service: azure-identity asks the model server for the token.
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{model.port}/identity")
    monkeypatch.setenv("IDENTITY_HEADER", model_server.KEY)
    found = run(configuration.Project(copy, {"AZURE_OPENAI_ENDPOINT": model.endpoint}), "rewrite")
    assert found.problems == ()
    said = len("[2 messages] You said: ")
    assert found.record.metrics == {"evaluation/length": {"more": float(said)}}
    assert len(model.requests) == 2
    assert model_server.TOKEN not in everything(copy, capfd)


FLEX = """\
evaluation:
  data: evaluation/invoices.jsonl
  flows:
    evaluation/amount:
      inputs:
        amount: ${run.outputs.amount}
        wanted: ${data.wanted}
      thresholds: {right: {min: 1}}
"""


def test_a_class_that_answers_with_a_dataclass_and_a_key_that_is_refused(
    copy: Path, variables: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = copy / "flows/extract/evaluation/amount"
    folder.mkdir(parents=True)
    (folder.parent / "invoices.jsonl").write_text('{"text": "1250.50 EUR", "wanted": 1250.5}\n')
    (folder / "flow.flex.yaml").write_text("entry: amount:same\n")
    code = (
        "def same(amount: float, wanted: float) -> dict:\n    return {'right': amount == wanted}\n"
    )
    (folder / "amount.py").write_text(code)
    with (copy / "flows/extract/deploy.yaml").open("a") as file:
        file.write(FLEX)
    good = run(configuration.Project(copy, variables), "extract")
    assert good.problems == ()
    assert good.record.metrics == {"evaluation/amount": {"right": 1.0}}
    wrong = {**variables, "AZURE_OPENAI_API_KEY": SECRET}
    bad = run(configuration.Project(copy, wrong), "extract")
    # The service quotes the key, and so does its error.
    assert "Access denied due to invalid subscription key: ***" in bad.problems[0].what
    assert bad.problems[1].what == "right was not measured: no row was answered"
    assert SECRET not in everything(copy, capfd)


@pytest.mark.alone
def test_ctrl_c_leaves_nothing_behind(
    copy: Path,
    client: docker.DockerClient,
    model: ModelServer,
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    model.gate = threading.Event()
    before = running(client)
    log = copy / "log"
    process = inv_process.inv(copy, log, "evaluate", "--flow", "triage")
    try:
        # A request of the test before may still come in.
        wait(lambda: bool(model.requests and running(client) - before), log)
        (container,) = running(client) - before
        # Neither an argument nor a variable of the container, for all who may inspect it.
        assert model_server.KEY not in json.dumps(client.containers.get(container).attrs)
        os.kill(int(process.pid or 0), signal.SIGINT)
        process.join(60)
    finally:
        model.gate.set()
        process.kill()
    assert process.exitcode == 130, log.read_text()
    assert container not in {
        one.id for one in client.containers.list(all=True, ignore_removed=True)
    }
    assert log.read_text().endswith("interrupted\n  → run this again: it goes on from there\n")
    assert not list((copy / history.FOLDER).iterdir())


def running(client: docker.DockerClient) -> set[str]:
    """Return the containers of evaluations."""
    return {
        str(one.id)
        for one in client.containers.list(ignore_removed=True)
        if "flow_evaluation.evaluation.container.run" in one.attrs["Args"]
    }


def wait(when: Any, log: Path) -> None:
    end = time.monotonic() + 90
    while not when():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def test_a_program_that_takes_too_long_is_ended(client: docker.DockerClient) -> None:
    _, made = built("faq")
    said: list[str] = []
    program = "import time; print('one', flush=True); time.sleep(60)"
    command = ["python3", "-c", program]
    with pytest.raises(DeployError) as caught:
        isolated.run_with_network(
            client, made.id, command, tar_files.pack({}), "/", {}, "waiting", {}, said.append, 1
        )
    assert said == ["one"]
    assert str(caught.value) == (
        "waiting: it did not end within 1 s\n  → does it wait for a service that does not answer?"
    )


def test_the_image_holds_nothing_of_an_evaluation(client: docker.DockerClient) -> None:
    flow, made = built("faq")
    assert flow.evaluation
    container = client.containers.create(made.id)
    try:
        chunks, _ = container.get_archive("/app")
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            names = [name for name in archive.getnames() if not name.startswith("app/packages")]
    finally:
        container.remove()
    assert "app/flow/search.py" in names
    assert not [name for name in names if "evaluation" in name or "questions" in name]
