"""Validation before an evaluation runs: each message is compared whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy import kinds
from deploy.build import lock_files
from deploy.config import configuration, origins
from deploy.core.errors import DeployError
from deploy.evaluation import specification
from deploy.evaluation.specification import EvaluationSpec
from deploy.kinds.base import Kind, find_by_pattern
from tests import projects

EVALUATION = """\
evaluation:
  data: evaluation/questions.jsonl
  flows:
    evaluation/accuracy:
      inputs:
        answer: ${run.outputs.answer}
      thresholds: {accuracy: 0.9}
"""
DEPLOY = projects.DEPLOY + EVALUATION
JUDGE = projects.FLOW.replace("question:\n    type", "answer:\n    type").replace(
    "question: ${inputs.question}", "question: ${inputs.answer}"
)
FILES: dict[str, Any] = {
    "flows/hello/deploy.yaml": DEPLOY,
    "flows/hello/evaluation/questions.jsonl": '{"question": "why?", "truth": "so"}\n',
    "flows/hello/evaluation/accuracy/flow.dag.yaml": JUDGE,
    "flows/hello/evaluation/accuracy/answer.py": projects.CODE,
}
DATA = "flows/hello/evaluation/questions.jsonl"
ENTRY = "flows/hello/evaluation/accuracy/flow.dag.yaml"


def prepare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, Any] | None = None
) -> EvaluationSpec:
    """Return the job of a project with FILES, changed by `files`."""
    project = projects.make(tmp_path, {**FILES, **(files or {})})
    monkeypatch.chdir(project.root)
    # The lock is no matter of these tests.
    monkeypatch.setattr(lock_files, "read", lambda _: "promptflow-core==1.18.5\n")
    return specification.load_spec(configuration.load_flow(project, "hello"), project.root)


def rows(*every: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in every)


def replaced(old: str, new: str, text: str = DEPLOY) -> str:
    assert old in text
    return text.replace(old, new)


def test_columns_named_like_inputs_need_no_mapping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepare(tmp_path, monkeypatch)
    assert made.main_run.inputs == {"question": "${data.question}"}
    (judge,) = made.evaluation_runs
    assert (judge.name, judge.inputs) == (
        "evaluation/accuracy",
        {"answer": "${run.outputs.answer}"},
    )
    assert sorted(judge.tree) == ["answer.py", "flow.dag.yaml"]
    assert sorted(made.main_run.tree) == ["answer.py", "flow.dag.yaml", "sample.json"]


def test_a_flow_that_is_evaluated_has_no_evaluation_among_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepare(tmp_path, monkeypatch, {"flows/hello/evaluation/notes.md": "secret plans"})
    assert not [name for name in made.main_run.tree if name.startswith("evaluation")]


def test_empty_lines_are_no_rows_and_lines_are_those_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '\n{"question": "a", "truth": 1}\r\n\n{"question": "b\\u2028", "truth": 2}\n\n'
    made = prepare(tmp_path, monkeypatch, {DATA: text})
    assert [row.line for row in made.data.rows] == [2, 4]
    assert made.data.locate_row(1) == f"{DATA}:4"
    assert [json.loads(line) for line in made.data.content.splitlines()] == [
        {"question": "a", "truth": 1},
        {"question": "b\u2028", "truth": 2},
    ]


def test_it_is_part_of_the_configuration_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = projects.make(tmp_path, FILES)
    monkeypatch.chdir(project.root)
    shown = origins.describe_spec(configuration.load_spec(project, "hello", "local"))
    assert {key: about for key, about in shown.items() if key.startswith("evaluation")} == {
        "evaluation.data": {"value": "evaluation/questions.jsonl", "from": f"{AT}:6"},
        "evaluation.inputs": {"value": {}, "from": "default"},
        "evaluation.flows": {"value": ["evaluation/accuracy"], "from": f"{AT}:7"},
        "evaluation.concurrency": {"value": 10, "from": "default"},
        "evaluation.timeout": {"value": 1800, "from": "default"},
    }


AT = "flows/hello/deploy.yaml"
CASES: dict[str, tuple[Mapping[str, Any], str]] = {
    "no data": (
        {DATA: None},
        f"{AT}:6: evaluation.data: the data set {DATA} does not exist\n  → create it, with one JSON object per line",
    ),
    "data in the image": (
        {AT: replaced("evaluation/questions.jsonl", "questions.jsonl")},
        f"{AT}:6: evaluation.data: questions.jsonl would become part of the flow's image\n"
        "  → move it to flows/hello/evaluation/, which images do not include",
    ),
    "data from elsewhere": (
        {AT: replaced("evaluation/questions.jsonl", "../../../q.jsonl")},
        f"{AT}:6: evaluation.data: ../../../q.jsonl is outside of the repository\n  → copy it into the repository",
    ),
    "no rows": (
        {DATA: "\n"},
        f"{DATA}: the file has no rows\n  → write one JSON object per line",
    ),
    "rows that are none": (
        {DATA: '{"question": }\n[1]\n{"line_number": 1}\n{"question": NaN}\n'},
        f"{DATA}:1: this line is not valid JSON: Expecting value\n  → write one JSON object per line\n"
        f"{DATA}:2: this line is not a JSON object\n"
        f"{DATA}:3: promptflow reserves the column line_number\n  → rename the column\n"
        f"{DATA}:4: this line is not valid JSON: NaN is not a valid value\n  → write one JSON object per line",
    ),
    "a column that nobody has": (
        {AT: replaced("${run.outputs.answer}", "${data.trut}")},
        f"{AT}:10: evaluation.flows.evaluation/accuracy.inputs.answer: {DATA} has no column trut\n"
        "  → did you mean truth?",
    ),
    "a column that some rows lack": (
        {DATA: rows(*[{"question": 1}, *[{"truth": 1}] * 7])},
        "\n".join(f"{DATA}:{line}: the column question is missing" for line in range(2, 7))
        + f"\n{DATA}: the column question is missing from 2 more rows",
    ),
    "no column for an input": (
        {DATA: rows({"ask": "why?"})},
        f"{AT}:5: evaluation.inputs: the input question has no source: it is not mapped, and no column has its name\n"
        "  → map it below inputs, for example `question: ${data.‹column›}`",
    ),
    "no such input": (
        {AT: replaced("        answer:", "        anser:")},
        f"{AT}:10: evaluation.flows.evaluation/accuracy.inputs.anser: the flow has no input anser\n"
        "  → did you mean answer?\n"
        f"{AT}:9: evaluation.flows.evaluation/accuracy.inputs: the input answer has no source: it is not mapped, and no column has its name\n"
        "  → map it below inputs, for example `answer: ${data.‹column›}`",
    ),
    "no such output": (
        {AT: replaced("run.outputs.answer", "run.outputs.reply")},
        f"{AT}:10: evaluation.flows.evaluation/accuracy.inputs.answer: the flow has no output reply\n"
        "  → known: answer",
    ),
    "outputs before there are any": (
        {AT: DEPLOY + "  inputs:\n    question: ${run.outputs.answer}\n"},
        f"{AT}:13: evaluation.inputs.question: ${{run.outputs.answer}} is not a valid reference\n"
        "  → write ${data.‹column›}",
    ),
    "a reference with a slip": (
        {AT: replaced("${run.outputs.answer}", "${run.output.answer}")},
        f"{AT}:10: evaluation.flows.evaluation/accuracy.inputs.answer: ${{run.output.answer}} is not a valid reference\n"
        "  → write ${data.‹column›}, ${run.outputs.‹output›} or ${run.inputs.‹column›}",
    ),
    "no folder": (
        {AT: replaced("evaluation/accuracy", "evaluation/acuracy")},
        f"{AT}:8: evaluation.flows.evaluation/acuracy: the folder flows/hello/evaluation/acuracy does not exist\n"
        "  → correct the path, which is relative to the flow's folder",
    ),
    "no flow": (
        {ENTRY: None},
        "flows/hello/evaluation/accuracy: there is no flow in this folder\n"
        "  → a flow has one of: flow.dag.yaml, flow.flex.yaml, one *.prompty file",
    ),
    "code that is none": (
        {"flows/hello/evaluation/accuracy/answer.py": "def answer(:\n"},
        "flows/hello/evaluation/accuracy/answer.py:1: Python cannot parse this: invalid syntax\n"
        "  → correct the syntax",
    ),
    "a connection that is not declared": (
        {
            ENTRY: JUDGE.replace("type: python", "type: llm\n  connection: gpt"),
        },
        f"{ENTRY}:11: nodes.0.connection: deploy.yaml declares no connection gpt\n"
        f"  → declare in {AT} which variables hold its values\n"
        "flows/hello/requirements.txt: flows/hello/evaluation/accuracy cannot run without promptflow-tools\n"
        "  → add promptflow-tools, then `inv lock --flow hello`",
    ),
    "several at once": (
        {
            DATA: '{"question": }\n',
            AT: replaced("run.outputs.answer", "run.outputs.reply"),
            "flows/hello/evaluation/accuracy/answer.py": "def answer(:\n",
        },
        f"{DATA}:1: this line is not valid JSON: Expecting value\n  → write one JSON object per line\n"
        "flows/hello/evaluation/accuracy/answer.py:1: Python cannot parse this: invalid syntax\n"
        "  → correct the syntax\n"
        f"{AT}:10: evaluation.flows.evaluation/accuracy.inputs.answer: the flow has no output reply\n"
        "  → known: answer",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_invalid_evaluations(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, expected = CASES[name]
    with pytest.raises(DeployError) as caught:
        prepare(tmp_path, monkeypatch, files)
    assert str(caught.value) == expected


def test_flows_that_prompt_flow_cannot_run_are_not_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Kind("other", "flow.other", find_by_pattern("flow.other"), "other")
    known = kinds.get
    monkeypatch.setattr(kinds, "get", lambda name: other if name == "dag" else known(name))
    with pytest.raises(DeployError) as caught:
        prepare(tmp_path, monkeypatch)
    assert str(caught.value) == (
        "flows/hello/deploy.yaml:5: evaluation: hello cannot be evaluated: Prompt flow's "
        "batch run does not support its kind of flow\n"
        "  → remove it from the evaluation, and write tests of your own for it"
    )
