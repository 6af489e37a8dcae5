"""The stored and the displayed results of an evaluation, and those that fail it."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from deploy.config import configuration
from deploy.core import ci_system, output
from deploy.core.errors import DeployError, Problem
from deploy.docker import tar_files
from deploy.evaluation import evaluate, history, report, results, runner
from deploy.evaluation.data import DataSet, Row
from deploy.evaluation.evaluate import Report
from deploy.evaluation.history import Record
from deploy.evaluation.results import FlowResult
from deploy.evaluation.specification import BatchRun, EvaluationSpec
from tests import projects

GOOD = Record(
    flow="hello",
    tag="0" * 12,
    commit="abc",
    created="2026-11-28T10:00:00+00:00",
    data="d" * 12,
    passed=True,
    metrics={"judge": {"right": 0.75}},
    tokens={"hello": 0},
    rows=[{"line": 1}],
)
DEPLOY = (
    projects.DEPLOY + "evaluation:\n  data: evaluation/rows.jsonl\n  flows:\n    judge:\n"
    "      thresholds: {right: 0.9, length: {max: 5}}\n"
)
OUTCOME = FlowResult("", {}, {}, {}, False, (), 0)
JUDGE = replace(OUTCOME, name="judge")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EvaluationSpec:
    monkeypatch.chdir(tmp_path)
    project = projects.make(tmp_path, {"flows/hello/deploy.yaml": DEPLOY})
    flow = configuration.load_flow(project, "hello")
    assert flow.evaluation
    path = project.root / "flows/hello/evaluation/rows.jsonl"
    rows = tuple(Row(line, {"question": line}) for line in (1, 3, 4))
    part = BatchRun("", flow, {}, {})
    return EvaluationSpec(flow, flow.evaluation, DataSet(path, rows), part, (part,), "")


def judged(job: EvaluationSpec, *outcomes: FlowResult, before: Record | None = None) -> Report:
    return evaluate._create_report(job, outcomes, before, "1" * 12, "def")


def sentences(found: Report) -> str:
    return "\n".join(map(str, found.problems))


def answers(*values: Any, name: str = "") -> FlowResult:
    return replace(OUTCOME, name=name, outputs=dict(enumerate(values)))


def test_a_failed_run_does_not_replace_a_successful_one(tmp_path: Path) -> None:
    assert history.load_last_passed(tmp_path, "hello") is None
    assert history.save_record(tmp_path, GOOD) == tmp_path / ".artifacts/evaluations/hello.json"
    bad = replace(GOOD, passed=False, metrics={})
    assert (
        history.save_record(tmp_path, bad) == tmp_path / ".artifacts/evaluations/hello.failed.json"
    )
    assert history.load_last_passed(tmp_path, "hello") == GOOD
    assert sorted(path.name for path in (tmp_path / history.FOLDER).iterdir()) == [
        "hello.failed.json",
        "hello.json",
    ]
    history.save_record(tmp_path, GOOD)
    assert [path.name for path in (tmp_path / history.FOLDER).iterdir()] == ["hello.json"]


def test_answers_that_utf_8_cannot_hold_are_kept(tmp_path: Path) -> None:
    odd = replace(GOOD, rows=[{"line": 1, "outputs": {"answer": "half a pair: \ud83d, naïve"}}])
    path = history.save_record(tmp_path, odd)
    assert history.load_last_passed(tmp_path, "hello") == odd
    assert '"half a pair: \\ud83d, naïve"' in path.read_text("utf-8")


def test_a_record_of_another_version_is_no_record(tmp_path: Path) -> None:
    path = history.save_record(tmp_path, GOOD)
    path.write_text(json.dumps({"version": 0, "other": "shape"}), encoding="utf-8")
    assert history.load_last_passed(tmp_path, "hello") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 1}',
        "{}",
        "[" * 100_000,
        json.dumps({**asdict(GOOD), "metrics": {"judge": 1}}),
        json.dumps({**asdict(GOOD), "rows": None}),
        json.dumps({**asdict(GOOD), "data": []}),
    ],
)
def test_a_file_that_is_no_record(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    history.save_record(tmp_path, GOOD).write_text(text, encoding="utf-8")
    with pytest.raises(DeployError) as caught:
        history.load_last_passed(tmp_path, "hello")
    assert str(caught.value) == (
        ".artifacts/evaluations/hello.json: this is not a record of an evaluation\n  → remove the file"
    )


def test_a_run_that_passes(job: EvaluationSpec, capsys: pytest.CaptureFixture[str]) -> None:
    grades = [{"right": True, "length": length} for length in (3, 4, 5)]
    before = replace(GOOD, data=job.data.digest)
    found = judged(job, answers({}, {}, {}), answers(*grades, name="judge"), before=before)
    assert found.problems == ()
    assert found.record.passed
    assert found.record.metrics == {"judge": {"right": 1.0, "length": 4.0}}
    report.show([found])
    printed = capsys.readouterr()
    assert printed.out == (
        "flow   evaluation  metric  now  before  change  threshold     passed\n"
        "hello  judge       right   1    0.75    +0.25   at least 0.9  yes\n"
        "hello  judge       length  4    -       -       at most 5     yes\n"
    )
    assert printed.err == (
        "evaluate  hello: compared with the last run that passed: 2026-11-28T10:00:00+00:00, "
        "image tag 000000000000\n"
    )
    data = report.to_dict(found)
    assert data["comparable"] is True
    assert data["verdicts"][0] == {
        "evaluation": "judge",
        "metric": "right",
        "value": 1.0,
        "before": 0.75,
        "threshold": "at least 0.9",
        "passed": True,
        "change": 0.25,
    }
    assert data["rows"][1] == {
        "line": 3,
        "inputs": {"question": 3},
        "outputs": {},
        "evaluations": {"judge": {"outputs": {"right": True, "length": 4}}},
    }


def test_each_missed_threshold_is_a_readable_error(job: EvaluationSpec) -> None:
    grades = [{"right": length == 9, "length": length} for length in (8, 9, 10)]
    found = judged(job, answers({}, {}, {}), answers(*grades, name="judge"))
    assert sentences(found) == (
        "flows/hello/deploy.yaml:9: evaluation.flows.judge.thresholds.right: "
        "right is 0.333333; the threshold is at least 0.9\n"
        "  → see the result of each row in .artifacts/evaluations/hello.failed.json\n"
        "flows/hello/deploy.yaml:9: evaluation.flows.judge.thresholds.length: "
        "length is 9; the threshold is at most 5\n"
        "  → see the result of each row in .artifacts/evaluations/hello.failed.json"
    )
    assert not found.record.passed


@pytest.mark.parametrize(
    ("judge", "what"),
    [
        (
            replace(JUDGE, metrics={"accuracy": 1, "right": "much"}),
            "judge returned no metric right\n  → it returned accuracy",
        ),
        (
            replace(JUDGE, aggregates=True, outputs={0: {"right": 1}}),
            "judge returned no metric right\n  → the aggregation gave no number: use `log_metric`, or "
            "return some in `__aggregate__`",
        ),
        (
            replace(JUDGE, outputs={0: {"right": "yes"}}),
            "judge returned no metric right\n  → return an output that is a number for each row, or "
            "aggregate (docs/evaluation.md)",
        ),
    ],
)
def test_a_metric_without_a_value(judge: FlowResult, what: str, job: EvaluationSpec) -> None:
    found = judged(job, answers({}, {}, {}), judge)
    assert str(found.problems[0]) == (
        f"flows/hello/deploy.yaml:9: evaluation.flows.judge.thresholds.right: {what}"
    )


def test_no_row_was_answered(job: EvaluationSpec) -> None:
    failed = replace(OUTCOME, errors=dict.fromkeys(range(3), "it is down"))
    assert sentences(judged(job, failed)) == (
        "flows/hello/evaluation/rows.jsonl:1: the flow failed: it is down\n"
        "  the same error in lines 3, 4\n"
        "flows/hello/deploy.yaml:9: evaluation.flows.judge.thresholds.right: "
        "right was not measured, because the flow answered no row\n"
        "flows/hello/deploy.yaml:9: evaluation.flows.judge.thresholds.length: "
        "length was not measured, because the flow answered no row"
    )


def test_a_node_that_fails_beside_the_rows(job: EvaluationSpec) -> None:
    judge = replace(JUDGE, metrics={"right": 1, "length": 1}, problems=("its node sum failed: x",))
    found = judged(job, answers({}, {}, {}), judge)
    assert found.problems == (Problem("hello: judge", "its node sum failed: x"),)


def test_errors_are_deduplicated_and_truncated(job: EvaluationSpec) -> None:
    flow = replace(OUTCOME, errors={0: "a", 1: "b", 2: "a"})
    judge = replace(JUDGE, errors={1: "x" * 500})
    message = [str(problem) for problem in runner.list_row_errors(job, (flow, judge))]
    at = "flows/hello/evaluation/rows.jsonl"
    assert message == [
        f"{at}:1: the flow failed: a\n  the same error in line 4",
        f"{at}:3: the flow failed: b",
        f"{at}:3: judge failed: {'x' * 400} …",
    ]


def test_of_many_rows_with_the_same_error_some_are_named(job: EvaluationSpec) -> None:
    rows = tuple(Row(line, {}) for line in range(1, 1001))
    many = replace(job, data=replace(job.data, rows=rows))
    flow = replace(OUTCOME, errors=dict.fromkeys(range(1000), "it is down"))
    named = ", ".join(str(line) for line in range(2, 22))
    assert [str(problem) for problem in runner.list_row_errors(many, (flow,))] == [
        "flows/hello/evaluation/rows.jsonl:1: the flow failed: it is down\n"
        f"  the same error in lines {named} and 979 more"
    ]


def test_invalid_json_in_a_result_is_text() -> None:
    part = b'{"rows": {"0": {"outputs": {"score": NaN}}}, "metrics": {}, "aggregates": false, '
    part += b'"problems": [], "tokens": 0}'
    content = b'{"flow": ' + part + b', "evaluations": []}'
    archive = io.BytesIO(tar_files.pack({"out/result.json": content}))
    (found,) = results.read_results(archive, ("",), 1, "evaluating hello")
    assert found.outputs == {0: {"score": "NaN"}}


def test_the_page_of_a_ci_run_shows_the_metrics(
    job: EvaluationSpec, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message: list[str] = []
    monkeypatch.setattr(ci_system, "append_summary", lambda *sections: message.extend(sections))
    # Earlier tests may have added summaries that were not read.
    output.send_summary("")
    message.clear()
    grades = [{"right": True, "length": 3}] * 3
    found = judged(job, answers({}, {}, {}), answers(*grades, name="judge"))
    report.show([found], as_json=True)
    output.send_summary("evaluate")
    assert json.loads(capsys.readouterr().out)[0]["metrics"] == found.record.metrics
    (shown,) = message
    assert "### Evaluation" in shown
    assert "| hello | judge | right | 1 | - | - | at least 0.9 | yes |" in shown
