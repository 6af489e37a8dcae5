"""The arguments of the Azure CLI, and the handling of its output."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.config.configuration import Project
from deploy.core.errors import DeployError
from deploy.infra import bicep, deployment, files, naming
from deploy.infra.desired import DesiredState
from deploy.targets.appservice.infrastructure import Site, list_sites
from tests import environments
from tests.bicep import evaluate
from tests.environments import APPSERVICE, AZUREML
from tests.unit.infra import az_answers

SUBSCRIPTION = evaluate.SUBSCRIPTION
WANTED = environments.small(AZUREML)
ABOUT = ["--name", "rg-flows-prod", "--subscription", SUBSCRIPTION]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "root").mkdir()
    return Project(tmp_path / "root", {})


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return az_answers.install(tmp_path / "bin")


def on_parameters(project: Project, verb: str) -> list[str]:
    return [
        "deployment",
        "sub",
        verb,
        "--name",
        "flows-prod",
        "--subscription",
        SUBSCRIPTION,
        "--location",
        "westeurope",
        "--parameters",
        str(project.root / "infra/prod.bicepparam"),
    ]


def test_plan(project: Project, seen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deployment.plan(project, WANTED) == [
        {"action": "remove", "what": "role on registries crflows", "differs": ""},
        {
            "action": "change",
            "what": "registries crflows",
            "differs": "properties.adminUserEnabled: true → false; "
            "tags.owner: - → a team with a very long name that nobod…",
        },
        {"action": "create", "what": "vaults kv-flows", "differs": ""},
        {"action": "keep", "what": "resource group rg-flows-prod", "differs": ""},
    ]
    assert az_answers.calls(seen) == [
        [*on_parameters(project, "what-if"), "--no-pretty-print", "--output", "json"]
    ]
    assert "infra/prod.bicepparam is written anew: commit it" in capsys.readouterr().err


def test_apply(project: Project, seen: Path) -> None:
    assert deployment.apply(project, WANTED) == {
        key: one["value"] for key, one in az_answers.OUTPUTS.items()
    }
    assert az_answers.calls(seen) == [[*on_parameters(project, "create"), "--output", "json"]]


def test_lint_compiles_every_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("web.bicep", "dev.bicepparam", "modules/part.bicep"):
        (tmp_path / "infra" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "infra" / name).touch()
    warning = "infra/web.bicep(3,7) : Warning no-unused-vars: Variable is never used."
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    seen = az_answers.install(
        tmp_path / "bin", {"bicep": {}}, warning=f"WARNING: {warning}\nWARNING: a new Bicep is out"
    )
    assert bicep.lint(tmp_path) == [warning]
    entry = str(tmp_path / "infra/web.bicep")
    assert az_answers.calls(seen) == [
        ["bicep", "build", "--stdout", "--file", entry],
        ["bicep", "lint", "--file", entry],
        ["bicep", "build-params", "--stdout", "--file", str(tmp_path / "infra/dev.bicepparam")],
    ]


def test_lint_reports_all_errors_and_nothing_without_bicep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    az_answers.install(tmp_path / "bin", complaint="ERROR: (3,7) : Error BCP018: a brace")
    assert bicep.lint(tmp_path) == []
    (tmp_path / "infra").mkdir()
    for name in ("a.bicep", "b.bicep"):
        (tmp_path / "infra" / name).touch()
    with pytest.raises(DeployError) as raised:
        bicep.lint(tmp_path)
    assert str(raised.value) == "\n".join(
        f"infra/{name}: az says:\n    ERROR: (3,7) : Error BCP018: a brace"
        for name in ("a.bicep", "b.bicep")
    )


def test_destroy_checks_the_owner_of_the_group(seen: Path) -> None:
    deployment.destroy(WANTED, "rg-flows-prod")
    assert az_answers.calls(seen) == [
        ["group", "show", *ABOUT, "--output", "json"],
        ["group", "delete", *ABOUT, "--yes", "--output", "json"],
    ]


@pytest.mark.parametrize("typed", ["", "rg-flows-dev", "RG-FLOWS-PROD"])
def test_destroy_removes_nothing_without_the_name(seen: Path, typed: str) -> None:
    with pytest.raises(DeployError) as raised:
        deployment.destroy(WANTED, typed)
    assert str(raised.value) == (
        f"resource group rg-flows-prod: {typed!r} is not its name\n"
        "  → nothing was removed; type the name, or give it with --name"
    )
    assert az_answers.calls(seen) == []


def test_destroy_keeps_a_group_of_another_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    seen = az_answers.install(tmp_path / "bin", {"group show": {"tags": None}})
    with pytest.raises(DeployError) as raised:
        deployment.destroy(WANTED, "rg-flows-prod")
    assert str(raised.value) == (
        "resource group rg-flows-prod: it has no tag flow-deploy.environment: prod, so this project did not create it\n"
        "  → delete it manually if that is intended"
    )
    assert [call[:2] for call in az_answers.calls(seen)] == [["group", "show"]]


@pytest.mark.parametrize(
    ("complaint", "said"),
    [
        (
            "ERROR: Please run 'az login' to setup account.",
            "what-if: az says:\n    ERROR: Please run 'az login' to setup account.\n  → `az login`",
        ),
        (
            "WARNING: a newer Bicep is there\nERROR: (AuthorizationFailed) The client may not.",
            "what-if: az says:\n    ERROR: (AuthorizationFailed) The client may not.\n"
            "  → you need Owner on the subscription, or hand the platform team the document of "
            "`inv infra.request`",
        ),
    ],
)
def test_az_errors_are_readable(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: str, said: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    az_answers.install(tmp_path / "bin", complaint=complaint)
    with pytest.raises(DeployError) as raised:
        deployment.plan(project, WANTED)
    assert str(raised.value) == said


def test_no_az_is_a_readable_error(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeployError) as raised:
        deployment.plan(project, WANTED)
    assert str(raised.value) == (
        "what-if: the Azure CLI (az) is not installed\n"
        "  → https://learn.microsoft.com/cli/azure/install-azure-cli, or inv doctor"
    )


def test_nothing_was_applied_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    az_answers.install(tmp_path / "bin", {"deployment sub show": None})
    with pytest.raises(DeployError) as raised:
        deployment.read_outputs(WANTED)
    assert str(raised.value) == (
        "Azure: the deployment flows-prod has no outputs\n  → `inv infra.apply --env prod` first"
    )


ENVIRONMENTS = """\
# WHERE, for all
local: {}                              # this machine

# The real thing
prod:
  subscription: ${AZURE_SUBSCRIPTION}  # of the platform team
  registry: 'crold.azurecr.io'
  infra:
    location: westeurope               # near the users
    contacts:
      - flows@contoso.example
"""


def test_outputs_are_written_and_comments_are_kept(project: Project, seen: Path) -> None:
    project = Project(project.root, {"AZURE_SUBSCRIPTION": SUBSCRIPTION})
    path = project.root / "environments.yaml"
    path.write_text(ENVIRONMENTS, "utf-8")
    changed = files.write_outputs(project, "prod", deployment.read_outputs(WANTED))
    assert changed == [
        {"key": "resource_group", "before": "", "after": "rg-flows-prod"},
        {"key": "registry", "before": "crold.azurecr.io", "after": "crflowsprod.azurecr.io"},
        {"key": "app", "before": "", "after": "app-{flow}-prod"},
        {"key": "key_vault", "before": "", "after": "https://kv-flows-prod.vault.azure.net"},
    ]
    written = path.read_text("utf-8")
    added = (
        "  resource_group: rg-flows-prod\n  app: app-{flow}-prod\n"
        "  key_vault: https://kv-flows-prod.vault.azure.net\n"
    )
    assert written == ENVIRONMENTS.replace("crold", "crflowsprod") + added
    assert files.write_outputs(project, "prod", deployment.read_outputs(WANTED)) == []


def test_outputs_of_an_environment_that_is_empty(project: Project, seen: Path) -> None:
    path = project.root / "environments.yaml"
    path.write_text("prod:\n", "utf-8")
    files.write_outputs(project, "prod", {"workspace": "mlw", "site": ""})
    assert path.read_text("utf-8") == "prod:\n  workspace: mlw\n"


@pytest.mark.parametrize("options", environments.OPTIONS)
def test_the_parameter_file_names_its_source(project: Project, options: tuple[str, ...]) -> None:
    wanted = environments.large(*options, owner="it's ${us} \\ them")
    path, new = files.write_parameters(project, wanted)
    assert new
    assert files.write_parameters(project, wanted) == (path, False)
    entry, values = evaluate.parameters(path)
    assert entry.name == {1: f"{options[0]}.bicep", 2: "main.bicep"}[len(options)]
    assert values["settings"]["tags"]["owner"] == "it's ${us} \\ them"
    assert values["names"]["registry"] == wanted.names.registry


def test_required_azure_values_are_requested(project: Project) -> None:
    wanted = environments.small(AZUREML, location=None)
    with pytest.raises(DeployError) as raised:
        deployment.plan(project, wanted)
    assert str(raised.value) == (
        "environments.yaml: prod: missing: infra.location\n"
        "  → add them, or set the variables that they refer to"
    )


def test_the_subscription_to_promote_from_is_required(project: Project) -> None:
    wanted = environments.large(AZUREML)
    assert wanted.promotion_source
    unknown = replace(
        wanted, promotion_source=replace(wanted.promotion_source, subscription=naming.PLACEHOLDER)
    )
    with pytest.raises(DeployError, match="prod: missing: the subscription of dev"):
        deployment.plan(project, unknown)


def test_names_of_existing_resources_are_kept() -> None:
    given = {
        "resource_group": "rg-platform-7",
        "registry": "crcompany.azurecr.io",
        "app": "web-{flow}",
    }
    there = wanted_with(given)
    assert there.names.group == "rg-platform-7"
    assert there.names.registry == "crcompany"
    assert list_sites(there) == (Site("faq", "web-faq", "staging"),)


def wanted_with(given: dict[str, str]) -> DesiredState:
    from deploy.infra import desired

    return desired.build_desired_state(environments.outline(APPSERVICE, given=given))
