"""Workflows and pipelines: sign-in, order, caches."""

from __future__ import annotations

from ruamel.yaml import YAML

from deploy.config import target_registry
from deploy.config.configuration import Project
from deploy.delivery import trial
from deploy.infra import desired
from deploy.infra.requirements import collect_requirements
from tests.projects import FIXTURE
from tests.unit.ci.workflow_files import ROOT, list_workflows, read_github_workflow
from tests.workflows import github
from tests.workflows.expressions import fill


def test_every_github_environment_may_sign_in() -> None:
    """The jobs of the workflows act as identities that infrastructure trusts them with."""
    project = Project(FIXTURE, {"AZURE_SUBSCRIPTION_ID": "0"})
    read = YAML(typ="safe").load
    delivered = read(FIXTURE / ".github/workflows/deliver.yml")["jobs"].values()
    looked = read(FIXTURE / ".github/workflows/drift.yml")["jobs"]["drift"]
    names = [job["with"]["environment"] for job in delivered]
    assert looked["strategy"]["matrix"]["environment"] == names
    for name in names:
        trusted = {
            one.subject for one in collect_requirements(desired.load(project, name)).federations
        }
        ends = {subject.rpartition(":")[2] for subject in trusted}
        assert {name, looked["environment"].replace("${{ matrix.environment }}", name)} <= ends


def test_deliveries_and_rollbacks_of_one_flow_are_serialized() -> None:
    """In one group, which cancels no waiting run."""
    deliver = read_github_workflow("environment.yml")["jobs"]["deliver"]["concurrency"]
    back = read_github_workflow("rollback.yml")["concurrency"]
    assert deliver == {**back, "group": back["group"].replace("inputs.flow", "matrix.flow")}
    assert deliver["group"] == "${{ inputs.environment }}-${{ matrix.flow }}"
    assert (deliver["cancel-in-progress"], deliver["queue"]) == (False, "max")


def test_cache_keys_of_flows_are_not_prefixes_of_one_another() -> None:
    names = {"github": {"run_id": "1", "run_attempt": "1"}}
    for file, job in (("environment.yml", "deliver"), ("pull-request.yml", "flow")):
        steps = read_github_workflow(file)["jobs"][job]["steps"]
        (cache,) = [one["with"] for one in steps if "actions/cache@" in one.get("uses", "")]
        short, long = (
            fill(cache, {**names, "matrix": {"flow": flow}}, github.FUNCTIONS)
            for flow in ("faq", "faq-long")
        )
        assert long["key"].startswith(long["restore-keys"])
        assert not long["key"].startswith(short["restore-keys"])


def test_write_once_outputs_are_written_last() -> None:
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
    files = list(list_workflows().values())
    assert len(files) > 10
    # An environment is called local, too.
    wanted_by_nobody = set(target_registry.built_in_targets()) - {trial.ENVIRONMENT}
    assert wanted_by_nobody
    for path in files:
        text = path.read_text("utf-8").lower()
        assert not [name for name in wanted_by_nobody if name in text], path
