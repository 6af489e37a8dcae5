"""What continuous delivery asks: which jobs there are, what they are given, who lints what."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy.ci import matrix
from deploy.ci.matrix import Row
from deploy.cli import linters
from deploy.config import configuration, target_registry
from deploy.config.configuration import Project
from deploy.core.entities import Image, Spec
from deploy.core.errors import DeployError
from deploy.delivery import image_reference, pipeline, trial
from deploy.evaluation import evaluate
from deploy.infra import desired
from deploy.infra.requirements import collect_requirements
from deploy.sandbox import model_server, model_stand_in
from deploy.sandbox.model_server import ModelServer
from tests import projects
from tests.unit.test_tasks import inv
from tests.workflows import github
from tests.workflows.expressions import fill

ROOT = Path(__file__).parents[2]
MODEL = """\
environments: {local: {target: local}}
connections:
  model: {type: azure_open_ai, api_base: MY_ENDPOINT, api_key: MY_KEY}
"""
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


def test_a_page_of_a_run_says_what_is_left_out() -> None:
    unasked = "my-other: not evaluated, as variables of their connections are not set"
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
        cwd=ROOT,
        GITHUB_ACTIONS="true",
        GITHUB_OUTPUT=str(output),
    )
    assert done.returncode == 0, done.stderr
    lines = output.read_text("utf-8").splitlines()
    names = {line.partition("<<")[0]: lines[i + 1] for i, line in enumerate(lines) if "<<" in line}
    return json.loads(done.stdout), names


def test_the_task_tells_the_system(tmp_path: Path) -> None:
    rows, outputs = _matrix(tmp_path, "--env", "prod", "--since", "")
    assert rows == [{"flow": "faq", "evaluate": True}]
    assert outputs["changed"] == "true"
    assert json.loads(outputs["matrix"]) == {"include": rows}
    assert json.loads(outputs["legs"]) == {"faq": {"flow": "faq", "evaluate": "true"}}


def test_the_task_without_an_environment_has_every_flow(tmp_path: Path) -> None:
    rows, _ = _matrix(tmp_path)
    assert [row["flow"] for row in rows] == configuration.list_flow_names(
        configuration.open_project(ROOT)
    )


def test_no_such_environment_is_a_sentence() -> None:
    done = inv("ci.matrix", "--env", "pord")
    assert (done.returncode, done.stderr) == (
        1,
        "--env pord: environments.yaml has no such environment\n  → did you mean prod?\n",
    )


def test_of_an_environment_its_own_flows_are_evaluated(tmp_path: Path) -> None:
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


def test_an_image_is_named_by_its_file_or_by_the_folder_of_all(tmp_path: Path) -> None:
    image = Image("r/faq", "0" * 12, "sha256:1", "linux/amd64", "b", "c", "sha256:" + "a" * 64)
    path = image_reference.write(tmp_path, "faq", image, "c1")
    assert (
        image_reference.get_reference_file(path, "faq")
        == image_reference.get_reference_file(path.parent, "faq")
        == path
    )
    with pytest.raises(DeployError, match=r"chat\.json: it is not there"):
        image_reference.read(image_reference.get_reference_file(path.parent, "chat"), "chat", "c1")


def test_a_folder_of_images_that_is_not_there_is_a_sentence() -> None:
    done = inv("deploy", "--image", "no-such-folder")
    assert (done.returncode, done.stderr) == (
        1,
        "--image: there is no file or folder no-such-folder\n"
        "  → `inv push` writes .artifacts/‹flow›.json\n",
    )


def test_a_stand_in_is_for_models_and_says_so_of_the_rest(tmp_path: Path) -> None:
    connections = (
        "  plain: {type: open_ai, base_url: MY_URL, api_key: OTHER_KEY}\n"
        "  fixed: {type: open_ai, api_key: OTHER_KEY}\n"
    )
    made = projects.make(tmp_path, {"flows/hello/deploy.yaml": MODEL + connections})
    model = ModelServer(port=9)
    key = {"MY_KEY": model_server.KEY, "OTHER_KEY": model_server.KEY}
    assert model_stand_in.build_connection_variables(
        configuration.load_flow(made, "hello"), model
    ) == {
        "MY_ENDPOINT": "http://host.docker.internal:9",
        "MY_URL": "http://host.docker.internal:9/v1",
        **key,
    }
    search = MODEL + "  search: {type: serp, api_key: SERP}\n"
    made = projects.make(tmp_path, {"flows/hello/deploy.yaml": search})
    with pytest.raises(SystemExit) as raised:
        model_stand_in.build_connection_variables(configuration.load_flow(made, "hello"), model)
    assert raised.value.code == "hello: no stand-in for the connection search (serp)"


@pytest.mark.parametrize(
    ("seconds", "by_stand_in", "sentence"),
    [
        (None, False, "`a:1` was built; not run: deploy.yaml has no environment local"),
        (0.256, False, "`a:1` answered its sample in 0.26 s"),
        (0.256, True, "`a:1` answered its sample in 0.26 s (answered by a stand-in model)"),
    ],
)
def test_a_trial_in_words(seconds: float | None, by_stand_in: bool, sentence: str) -> None:
    assert trial.Trial("a", "a:1", seconds, by_stand_in).summary == sentence


def test_what_runs_here_is_not_taken_away_by_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = projects.make(tmp_path, {})
    monkeypatch.setattr(pipeline, "status", lambda spec: spec)
    with pytest.raises(DeployError) as raised:
        trial.run_trial(made, configuration.load_flow(made, "hello"))
    assert str(raised.value) == (
        "hello in local: it runs here already, and a trial would take it away\n"
        "  → `inv destroy --flow hello` first"
    )


def test_a_trial_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = projects.make(tmp_path, {})
    removed: list[str] = []

    def fail(project: Project, spec: Spec) -> None:
        raise DeployError(spec.name, "it does not start")

    monkeypatch.setattr(pipeline, "status", lambda spec: None)
    monkeypatch.setattr(pipeline, "deploy", fail)
    monkeypatch.setattr(pipeline, "destroy", lambda spec: removed.append(spec.name))
    with pytest.raises(DeployError, match=r"^hello in local: it does not start$"):
        trial.run_trial(made, configuration.load_flow(made, "hello"))
    assert removed == ["hello in local"]


def test_linters_get_the_files_that_are_there(tmp_path: Path) -> None:
    for name in (".github/workflows/b.yml", ".github/workflows/a.yml", "environments.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert linters.list_commands(tmp_path) == [
        "zizmor --quiet --no-progress --offline --persona pedantic .github",
        "check-jsonschema --quiet --builtin-schema vendor.github-workflows "
        ".github/workflows/a.yml .github/workflows/b.yml",
        "check-jsonschema --quiet --schemafile docs/schema/environments.json environments.yaml",
        "yamllint --strict .",
    ]


def test_every_environment_of_github_may_log_in() -> None:
    """The jobs of the workflows act as identities that infrastructure trusts them with."""
    project = Project(ROOT, {"AZURE_SUBSCRIPTION_ID": "0"})
    read = YAML(typ="safe").load
    delivered = read(ROOT / ".github/workflows/deliver.yml")["jobs"].values()
    looked = read(ROOT / ".github/workflows/drift.yml")["jobs"]["drift"]
    names = [job["with"]["environment"] for job in delivered]
    assert looked["strategy"]["matrix"]["environment"] == names
    for name in names:
        trusted = {
            one.subject for one in collect_requirements(desired.load(project, name)).federations
        }
        ends = {subject.rpartition(":")[2] for subject in trusted}
        assert {name, looked["environment"].replace("${{ matrix.environment }}", name)} <= ends


def test_a_flow_of_a_later_environment_is_refused_where_no_image_could_come_from(
    tmp_path: Path,
) -> None:
    made = projects.make(
        tmp_path,
        {
            "environments.yaml": "local: {}\ndev: {}\nprod: {}\n",
            "flows/hello/deploy.yaml": projects.DEPLOY + "  prod: {target: local}\n",
        },
    )
    flows = configuration.load_flows(made)
    matrix.require_origin(flows, "prod", "local")
    with pytest.raises(DeployError) as raised:
        matrix.require_origin(flows, "prod", "dev")
    assert str(raised.value) == (
        "flows/hello/deploy.yaml: environments: it has prod and not dev, from where its image is "
        "promoted\n  → add dev"
    )


def test_what_others_named_is_no_markup_on_the_page_of_a_run() -> None:
    assert matrix.format_summary((), ("deploy/<img src=x>: shared",)).splitlines()[-1] == (
        "deploy/&lt;img src=x&gt;: shared"
    )


def _of_github(name: str) -> Any:
    return YAML(typ="safe").load(ROOT / ".github/workflows" / name)


def test_of_one_flow_deliveries_and_rollbacks_wait_for_one_another() -> None:
    """In one group, from which nobody who waits is taken away."""
    deliver = _of_github("environment.yml")["jobs"]["deliver"]["concurrency"]
    back = _of_github("rollback.yml")["concurrency"]
    assert deliver == {**back, "group": back["group"].replace("inputs.flow", "matrix.flow")}
    assert deliver["group"] == "${{ inputs.environment }}-${{ matrix.flow }}"
    assert (deliver["cancel-in-progress"], deliver["queue"]) == (False, "max")


def test_no_flow_gets_the_cache_of_another_whose_name_begins_alike() -> None:
    names = {"github": {"run_id": "1", "run_attempt": "1"}}
    for file, job in (("environment.yml", "deliver"), ("pull-request.yml", "flow")):
        steps = _of_github(file)["jobs"][job]["steps"]
        (cache,) = [one["with"] for one in steps if "actions/cache@" in one.get("uses", "")]
        short, long = (
            fill(cache, {**names, "matrix": {"flow": flow}}, github.FUNCTIONS)
            for flow in ("faq", "faq-long")
        )
        assert long["key"].startswith(long["restore-keys"])
        assert not long["key"].startswith(short["restore-keys"])


def test_each_environment_gets_the_very_image_that_the_one_before_has() -> None:
    """No line deploys or promotes what it would have to look for."""
    files = [*ROOT.glob(".github/**/*.yml"), *ROOT.glob("azure-pipelines/**/*.yml")]
    text = "\n".join(path.read_text("utf-8") for path in files)
    lines = re.findall(r"inv (?:deploy|promote) .*", text)
    assert len(lines) == 4
    assert all("--image .artifacts" in line for line in lines)
    jobs = _of_github("deliver.yml")["jobs"]
    given = {name: job["with"] for name, job in jobs.items()}
    assert [one.get("from") for one in given.values()] == [None, *list(given)[:-1]]
    assert [jobs[name].get("needs") for name in jobs] == [one.get("from") for one in given.values()]
    assert len({one["since"] for one in given.values()}) == 1


def test_what_can_be_published_once_is_published_last() -> None:
    """A job of Azure Pipelines that failed after it could not be run again."""
    path = ROOT / "azure-pipelines/templates/environment.yml"
    (built,) = [
        job
        for stage in YAML(typ="safe").load(path)["stages"]
        for entry in stage["jobs"]
        for jobs in entry.values()
        if isinstance(jobs, list)
        for job in jobs
    ]
    assert [at for at, step in enumerate(built["steps"], 1) if "publish" in step] == [
        len(built["steps"])
    ]


def test_no_workflow_names_a_target() -> None:
    files = [*ROOT.glob(".github/**/*.yml"), *ROOT.glob("azure-pipelines/**/*.yml")]
    assert len(files) > 10
    # An environment is called local, too.
    wanted_by_nobody = set(target_registry.built_in_targets()) - {trial.ENVIRONMENT}
    assert wanted_by_nobody
    for path in files:
        text = path.read_text("utf-8").lower()
        assert not [name for name in wanted_by_nobody if name in text], path
