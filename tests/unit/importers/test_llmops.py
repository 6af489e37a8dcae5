"""Use cases of the LLMOps template: the imported flows, environments and connections."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from deploy.cli import import_llmops, repository
from deploy.config import configuration
from deploy.config.configuration import Project
from tests import llmops_repositories
from tests.llmops_repositories import newer, older
from tests.unit.cli.test_tasks import copy_of_the_repository, inv
from tests.unit.importers.use_cases import KEY, deploy_yaml, imported, notes, plan, text, tree

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/from-llmops.md"


@pytest.mark.parametrize(("files", "names"), [(older, ("test", "live")), (newer, ("dev",))])
def test_imported_flows_load(
    project: Project, files: Callable[[], dict[str, Any]], names: tuple[str, ...]
) -> None:
    found = imported(project, files())
    assert [flow.name for flow in configuration.load_flows(project)] == ["hello", found.flow]
    for name in ("local", *names):
        (spec,) = configuration.load_specs(project, name, found.flow)
        assert spec.environment == name


def test_code_of_the_whole_of_promptflow_takes_its_names_from_the_core(project: Project) -> None:
    found = imported(project, older())
    assert text(project, "ticket-routing/team.py").startswith("from promptflow.core import tool\n")
    judge = text(project, "ticket-routing/evaluation/evaluation/accuracy.py")
    assert judge.startswith("from promptflow.core import log_metric, tool\n")
    where = "ticket_routing/flows/standard/team.py:1"
    assert notes(found)[where] == "the import is changed to promptflow.core"


def test_code_that_needs_the_whole_of_promptflow_is_named(project: Project) -> None:
    files = older()
    files["ticket_routing/flows/standard/more.py"] = (
        "import os\nfrom promptflow.entities import Run\n"
    )
    where = "ticket_routing/flows/standard/more.py:2"
    assert notes(plan(project, files))[where] == "this requires the full promptflow package"


def test_included_files_are_copied_into_the_flow(project: Project) -> None:
    imported(project, older())
    assert "def count" in text(project, "ticket-routing/words.py")
    dag = text(project, "ticket-routing/flow.dag.yaml")
    assert dag == llmops_repositories.TICKETS.replace(
        "additional_includes:\n- ../common/words.py\n", ""
    )


def test_secrets_and_tool_settings_are_not_imported(project: Project) -> None:
    found = imported(project, older())
    copied = " ".join(tree(project.root / "flows/ticket-routing"))
    for name in (".env", ".promptflow", "connections", "Dockerfile"):
        assert name not in copied
    assert "0123456789abcdef" not in repr(found)
    assert "0123456789abcdef" not in str(tree(project.root))


def test_unsupported_keys_are_reported_with_file_and_key(project: Project) -> None:
    found = plan(project, older())
    deployments = "ticket_routing/configs/deployment_config.json"
    reported = notes(found)
    assert reported[f"{deployments}:22: kubernetes_endpoint.0"] == (
        "there is no target for kubernetes_endpoint"
    )
    assert reported["ticket_routing/llmops_config.json:15: envs.1.KEYVAULT_NAME"] == (
        "a deploy reads only the secrets that deploy.yaml names"
    )
    dag = "ticket_routing/flows/standard/flow.dag.yaml"
    assert reported[f"{dag}:36: node_variants.ask"] == ("only the default variant is served")
    assert reported["ticket_routing"] == "these files are not imported: environment"
    secret = f"{deployments}:15: azure_managed_endpoint.0.ENVIRONMENT_VARIABLES.ARTICLES_KEY"
    assert reported[secret] == (
        "this may be a secret: its name is under env.secret; its value is not imported"
    )


def test_existing_environments_are_kept_byte_for_byte(project: Project) -> None:
    before = (
        "local: {}   # this machine\ntest:\n    workspace: mine   # ours\n    subscription:   ''"
    )
    (project.root / "environments.yaml").write_bytes(before.encode())
    found = imported(project, older())
    after = (project.root / "environments.yaml").read_bytes().decode()
    assert after.startswith(
        f"{before}\n# Imported from ticket_routing/configs/deployment_config.json\nlive:\n"
    )
    assert found.new_environments == ("live",)
    conflicts = [note.what for note in found.unsupported if "is not changed" in note.what]
    assert conflicts == [
        "environments.yaml has none for test.resource_group, and is not changed",
        "environments.yaml has none for test.registry, and is not changed",
        "environments.yaml has another value for test.workspace, and is not changed",
    ]


def test_the_value_of_a_key_is_never_imported(project: Project) -> None:
    files = newer()
    files["order_status/experiment.yaml"] = llmops_repositories.EXPERIMENT.replace(
        "${api_key}", KEY
    )
    found = imported(project, files)
    assert (found.assumptions[0].where, found.assumptions[0].what) == (
        "order_status/experiment.yaml:10: connections.0.api_key",
        "this is a key, which is not imported",
    )
    assert KEY not in repr(found)
    assert KEY.encode() not in b"".join(tree(project.root).values())


def test_variables_that_the_image_sets_are_not_imported(project: Project) -> None:
    files = older()
    (one,) = files["ticket_routing/configs/deployment_config.json"]["azure_managed_endpoint"]
    one["ENVIRONMENT_VARIABLES"] = {"PATH": "/opt"}
    found = imported(project, files)
    assert "env" not in deploy_yaml(project, "ticket-routing")["environments"]["test"]
    place = "ticket_routing/configs/deployment_config.json:14: azure_managed_endpoint.0"
    assert notes(found)[f"{place}.ENVIRONMENT_VARIABLES.PATH"] == "the image sets this itself"


def test_a_variable_whose_value_is_a_secret_is_one_whatever_its_name(project: Project) -> None:
    files = older()
    (one,) = files["ticket_routing/configs/deployment_config.json"]["azure_managed_endpoint"]
    one["ENVIRONMENT_VARIABLES"] = {"MODEL": KEY}
    found = imported(project, files)
    assert deploy_yaml(project, "ticket-routing")["environments"]["test"]["env"] == {
        "secret": ["MODEL"]
    }
    assert KEY not in repr(found)


def test_the_command_and_the_page_that_shows_it(tmp_path: Path) -> None:
    root = copy_of_the_repository(tmp_path)
    llmops_repositories.write(tmp_path / "contoso-llmops", older())
    done = inv("import.llmops", "--from", "../contoso-llmops", cwd=root)
    assert done.stderr == ""
    shown = PAGE.read_text(encoding="utf-8").split("$ inv import.llmops --from ../contoso-llmops\n")
    assert shown[1].partition("```")[0] == done.stdout


def test_a_dry_run_of_one_of_several_use_cases(tmp_path: Path) -> None:
    root = copy_of_the_repository(tmp_path)
    llmops_repositories.write(tmp_path / "theirs", {**older(), **newer()})
    before = tree(root)
    chosen = ("--from", "../theirs", "--use-case", "order_status")
    done = inv("import.llmops", *chosen, "--dry-run", cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "flows/order-status/deploy.yaml" in done.stdout
    assert tree(root) == before


def test_a_dry_run_writes_nothing_and_json_has_it_all(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(repository, "ROOT", project.root)
    theirs = llmops_repositories.write(project.root.parent / "theirs", newer())
    before = tree(project.root)
    import_llmops.llmops.body(Context(), from_=str(theirs), dry_run=True, json=True)
    assert tree(project.root) == before
    shown = json.loads(capsys.readouterr().out)
    assert (shown["flow"], shown["written"]) == ("order-status", False)
    assert {"file": "environments.yaml", "from": "dev"} in shown["files"]
    assert shown["environments"] == ["dev"]
    assert shown["variables"]["AOAI_API_KEY"] == "api_key of aoai (order_status/experiment.yaml:6)"
    assert set(shown["not_imported"][0]) == {"where", "what", "then"}
    with pytest.raises(Exit) as stopped:
        import_llmops.llmops.body(Context())
    assert (
        stopped.value.message
        == "--from: this option is required\n  → name a copy of the template's repository"
    )
