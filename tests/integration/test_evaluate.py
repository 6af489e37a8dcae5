"""Evaluations on the real thing: flows in containers with their locked packages, prompt flow's own batch runs."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import docker
import pytest

from deploy.config import configuration
from deploy.evaluation import history, report
from deploy.evaluation.history import Record
from deploy.sandbox import model_server
from deploy.sandbox.model_server import ModelServer
from tests.integration.conftest import built
from tests.integration.evaluations import everything, run


def test_a_flow_without_a_model(project_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = configuration.open_project(project_copy)
    earlier = {"evaluation/accuracy": {"found": 1.0, "first": 0.75}}
    history.save_record(
        project_copy, Record("faq", "0" * 12, "", "2026-11-01", "other", True, earlier, {}, [])
    )
    found = run(project, "faq")
    report.show([found])
    printed = capfd.readouterr()
    assert printed.out == (
        "flow  evaluation           metric    now  before  change  threshold     passed\n"
        "faq   evaluation/accuracy  found     1    1       0       at least 1    yes\n"
        "faq   evaluation/accuracy  first     1    0.75    +0.25   at least 0.8  yes\n"
        "faq   evaluation/accuracy  answered  1    -       -       at least 0.9  yes\n"
    )
    assert printed.err.endswith(
        "compared with the last run that passed: 2026-11-01, image tag 000000000000, with another data set\n"
    )
    assert found.problems == ()
    kept = history.load_last_passed(project_copy, "faq")
    assert kept == found.record
    assert kept.tag == built("faq")[1].tag
    assert kept.rows[1]["inputs"]["section"] == "Holidays"
    assert kept.rows[1]["outputs"]["sources"][0] == "Holidays"
    assert kept.rows[1]["evaluations"]["evaluation/accuracy"]["outputs"]["first"] is True
    assert len(kept.rows) == 13


def test_a_flow_with_a_model_is_judged_by_code_and_by_a_model(
    project_copy: Path,
    model: ModelServer,
    variables: dict[str, str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    project = configuration.Project(project_copy, variables)
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
    assert model_server.KEY not in everything(project_copy, capfd)


PROMPTY = """\
evaluation:
  data: evaluation/texts.jsonl
  flows:
    evaluation/length:
      inputs:
        text: ${run.outputs.output}
        before: ${data.text}
"""


def test_a_prompty_uses_the_identity_of_the_signed_in_user(
    project_copy: Path,
    model: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = project_copy / "flows/rewrite/evaluation/length"
    folder.mkdir(parents=True)
    (folder.parent / "texts.jsonl").write_text('{"text": "ab"}\n{"text": "abcd"}\n')
    (folder / "flow.flex.yaml").write_text("entry: longer:longer\n")
    code = "async def longer(text: str, before: str) -> dict:\n    return {'more': len(text) - len(before)}\n"
    (folder / "longer.py").write_text(code)
    with (project_copy / "flows/rewrite/deploy.yaml").open("a") as file:
        file.write(PROMPTY)
    # As on App Service: azure-identity asks the model server for the token.
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{model.port}/identity")
    monkeypatch.setenv("IDENTITY_HEADER", model_server.KEY)
    found = run(
        configuration.Project(project_copy, {"AZURE_OPENAI_ENDPOINT": model.endpoint}), "rewrite"
    )
    assert found.problems == ()
    printed = len("[2 messages] You said: ")
    assert found.record.metrics == {"evaluation/length": {"more": float(printed)}}
    assert len(model.requests) == 2
    assert model_server.TOKEN not in everything(project_copy, capfd)


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
