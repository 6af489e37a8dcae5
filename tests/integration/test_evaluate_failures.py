"""Evaluations that fail, are interrupted or take too long."""

from __future__ import annotations

import json
import os
import re
import signal
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
from deploy.evaluation import history
from deploy.evaluation.history import Record
from deploy.sandbox import model_server
from deploy.sandbox.model_server import ModelServer
from tests import projects
from tests.fake_secrets import LETTERS, text
from tests.integration import inv_process
from tests.integration.conftest import built
from tests.integration.evaluations import everything, run
from tests.projects import FIXTURE

SECRET = text(LETTERS, 24)
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


FAQ = (FIXTURE / "flows/faq/requirements.txt").read_text(encoding="utf-8")


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
        "  the same error in line 4\n"
        "flows/hello/deploy.yaml:12: evaluation.flows.evaluation/match.thresholds.right: "
        "right is 0; the threshold is at least 0.9\n"
        "  → see the result of each row in .artifacts/evaluations/hello.failed.json\n"
        "flows/hello/deploy.yaml:14: evaluation.flows.evaluation/match.thresholds.recall: "
        "evaluation/match returned no metric recall\n"
        "  → it returned right, length"
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
    printed = everything(failing.root, capfd)
    assert SECRET not in printed
    # At once, the first of the two that has failed.
    assert re.search(r"^hello: evaluate  flows/.*:[24]: the flow failed: ", printed, re.MULTILINE)


def test_a_missing_variable_of_an_environment(failing: configuration.Project) -> None:
    with pytest.raises(DeployError) as caught:
        run(replace(failing, environ={}), "hello", "local")
    assert (
        str(caught.value) == "hello in local: env.secret: MY_TOKEN is not set\n  → add it to .env"
    )


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


def test_a_class_that_answers_with_a_dataclass_and_a_key_that_is_rejected(
    project_copy: Path, variables: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = project_copy / "flows/extract/evaluation/amount"
    folder.mkdir(parents=True)
    (folder.parent / "invoices.jsonl").write_text('{"text": "1250.50 EUR", "wanted": 1250.5}\n')
    (folder / "flow.flex.yaml").write_text("entry: amount:same\n")
    code = (
        "def same(amount: float, wanted: float) -> dict:\n    return {'right': amount == wanted}\n"
    )
    (folder / "amount.py").write_text(code)
    with (project_copy / "flows/extract/deploy.yaml").open("a") as file:
        file.write(FLEX)
    good = run(configuration.Project(project_copy, variables), "extract")
    assert good.problems == ()
    assert good.record.metrics == {"evaluation/amount": {"right": 1.0}}
    wrong = {**variables, "AZURE_OPENAI_API_KEY": SECRET}
    bad = run(configuration.Project(project_copy, wrong), "extract")
    # The service quotes the key, and so does its error.
    assert "Access denied due to invalid subscription key: ***" in bad.problems[0].what
    assert bad.problems[1].what == "right was not measured, because the flow answered no row"
    assert SECRET not in everything(project_copy, capfd)


@pytest.mark.alone
def test_ctrl_c_leaves_nothing_behind(
    project_copy: Path,
    client: docker.DockerClient,
    model: ModelServer,
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    model.gate = threading.Event()
    before = running(client)
    log = project_copy / "log"
    process = inv_process.inv(project_copy, log, "evaluate", "--flow", "triage")
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
    assert log.read_text().endswith(
        "interrupted\n  → run the command again: it continues where it stopped\n"
    )
    assert not list((project_copy / history.FOLDER).iterdir())


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
    printed: list[str] = []
    program = "import time; print('one', flush=True); time.sleep(60)"
    command = ["python3", "-c", program]
    with pytest.raises(DeployError) as caught:
        isolated.run_with_network(
            client, made.id, command, tar_files.pack({}), "/", {}, "waiting", {}, printed.append, 1
        )
    assert printed == ["one"]
    assert str(caught.value) == (
        "waiting: it did not end within 1 s\n  → check whether it waits for a service that does not answer"
    )
