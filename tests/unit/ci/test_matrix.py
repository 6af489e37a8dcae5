"""The jobs of continuous delivery, and their run summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.ci import matrix
from deploy.ci.matrix import Row
from deploy.config import configuration
from deploy.evaluation import evaluate
from tests import projects
from tests.projects import FIXTURE
from tests.unit.ci.workflow_files import MODEL
from tests.unit.cli.test_tasks import inv

OTHER = {
    "flows/other/flow.dag.yaml": projects.FLOW,
    "flows/other/sample.json": {"question": "why?"},
}


def test_rows_say_which_flows_can_be_evaluated(tmp_path: Path) -> None:
    made = projects.make(tmp_path, {**OTHER, "flows/other/deploy.yaml": MODEL})
    flows = configuration.load_flows(made)
    assert matrix.create_rows(flows, {}) == (Row("hello", True), Row("other", False))
    rows = matrix.create_rows(flows, {"MY_ENDPOINT": "https://a", "MY_KEY": "b"})
    assert rows == (Row("hello", True), Row("other", True))


ROWS = (Row("hello", True), Row("my-other", False))


def test_each_system_gets_its_form() -> None:
    assert json.loads(matrix.format_github(ROWS)) == {
        "include": [
            {"flow": "hello", "evaluate": True},
            {"flow": "my-other", "evaluate": False},
        ]
    }
    assert json.loads(matrix.format_azure_devops(ROWS)) == {
        "hello": {"flow": "hello", "evaluate": "true"},
        "my_other": {"flow": "my-other", "evaluate": "false"},
    }
    assert (matrix.format_github(()), matrix.format_azure_devops(())) == ('{"include": []}', "{}")


def test_the_run_summary_lists_omissions() -> None:
    unasked = "my-other: not evaluated, because variables of their connections are not set"
    assert matrix.list_notes(ROWS) == (unasked,)
    assert matrix.format_summary(ROWS, ("a reason",)) == (
        f"### Flows\n- `hello`\n- `my-other` (not evaluated)\n\na reason\n{unasked}\n"
    )
    assert matrix.format_summary((), ()) == "### Flows\nnone\n\n"


def _matrix(tmp_path: Path, *options: str) -> tuple[Any, Mapping[str, str]]:
    """Run `inv ci.matrix` as a job of GitHub; return what it printed, and its outputs."""
    output = tmp_path / "output"
    output.touch()
    done = inv(
        *("ci.matrix", *options, "--json"),
        GITHUB_ACTIONS="true",
        GITHUB_OUTPUT=str(output),
    )
    assert done.returncode == 0, done.stderr
    lines = output.read_text("utf-8").splitlines()
    names = {line.partition("<<")[0]: lines[i + 1] for i, line in enumerate(lines) if "<<" in line}
    return json.loads(done.stdout), names


def test_the_task_writes_the_ci_output(tmp_path: Path) -> None:
    rows, outputs = _matrix(tmp_path, "--env", "prod", "--since", "")
    assert rows == [{"flow": "faq", "evaluate": True}]
    assert (outputs["changed"], outputs["tool"]) == ("true", "true")
    assert json.loads(outputs["matrix"]) == {"include": rows}
    assert json.loads(outputs["legs"]) == {"faq": {"flow": "faq", "evaluate": "true"}}


def test_the_task_without_an_environment_has_every_flow(tmp_path: Path) -> None:
    rows, _ = _matrix(tmp_path)
    assert [row["flow"] for row in rows] == configuration.list_flow_names(
        configuration.open_project(FIXTURE)
    )


def test_no_such_environment_is_a_readable_error() -> None:
    done = inv("ci.matrix", "--env", "pord")
    assert (done.returncode, done.stderr) == (
        1,
        "--env pord: environments.yaml has no such environment\n  → did you mean prod?\n",
    )


def test_only_flows_of_the_environment_are_evaluated(tmp_path: Path) -> None:
    judged = "evaluation: {data: rows.jsonl, flows: {judge: {}}}\n"
    here = projects.DEPLOY + "  dev: {target: local}\n"
    files = {
        **OTHER,
        "environments.yaml": "local: {}\ndev: {}\n",
        "flows/hello/deploy.yaml": here + judged,
        "flows/other/deploy.yaml": projects.DEPLOY + judged,
    }
    made = projects.make(tmp_path, files)
    assert [flow.name for flow in evaluate.select_flows(made, None)] == ["hello", "other"]
    assert [flow.name for flow in evaluate.select_flows(made, None, "dev")] == ["hello"]


def test_names_are_escaped_in_the_run_summary() -> None:
    assert matrix.format_summary((), ("deploy/<img src=x>: shared",)).splitlines()[-1] == (
        "deploy/&lt;img src=x&gt;: shared"
    )
