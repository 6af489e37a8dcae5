"""`inv infra.…` in a copy of the repository, with a stand-in for az."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.bicep.evaluate import SUBSCRIPTION
from tests.unit.cli.test_tasks import copy_of_the_repository, inv
from tests.unit.infra import az_answers


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Runs:
    return Runs(root, az_answers.install(tmp_path / "bin").parent)


class Runs:
    """Runs tasks in `root`, where `az` is the one in `programs`."""

    def __init__(self, root: Path, programs: Path) -> None:
        self.root = root
        self._path = f"{programs}{os.pathsep}{os.environ['PATH']}"

    def __call__(self, *task: str) -> subprocess.CompletedProcess[str]:
        given = {"PATH": self._path, "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION}
        return inv(*task, cwd=self.root, **given)


def test_plan_prints_a_table_and_sets_the_exit_code(run: Runs) -> None:
    done = run("infra.plan", "--env", "prod")
    assert done.returncode == 2
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["action", "what"],
        ["remove", "role"],
        ["change", "registries"],
        ["create", "vaults"],
        ["keep", "resource"],
    ]
    assert "using 'appservice.bicep'" in (run.root / "infra/prod.bicepparam").read_text("utf-8")


def test_outputs_are_then_in_environments_yaml(run: Runs) -> None:
    done = run("infra.outputs", "--env", "prod")
    assert done.returncode == 0
    text = (run.root / "environments.yaml").read_text("utf-8")
    assert "  key_vault: https://kv-flows-prod.vault.azure.net\n" in text
    assert "  subscription: ${AZURE_SUBSCRIPTION_ID}\n" in text
    assert "# WHERE: one entry an environment." in text
    # What is there now is configuration: a flow has its place.
    assert "app-{flow}-prod " in run("config", "--flow", "faq", "--env", "prod").stdout


def test_destroy_does_not_prompt_without_a_terminal(run: Runs) -> None:
    done = run("infra.destroy", "--env", "prod")
    assert done.returncode == 1
    assert done.stderr == (
        "resource group rg-flows-prod: '' is not its name\n"
        "  → nothing was removed; type the name, or give it with --name\n"
    )


def test_apply_creates_it_and_names_the_next_step(run: Runs) -> None:
    done = run("infra.apply", "--env", "prod")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(
        "\n\nWrite them to environments.yaml:  inv infra.outputs --env prod\n"
    )


def test_request_has_a_format_by_flag(run: Runs) -> None:
    done = run("infra.request", "--env", "prod", "--format", "docx")
    assert done.stdout.endswith("/.artifacts/request-prod.docx\n"), done.stderr
    assert Path(done.stdout.strip()).read_bytes().startswith(b"PK")


def test_request_is_a_file_in_the_format_of_its_name(run: Runs) -> None:
    done = run("infra.request", "--env", "dev", "--to", "asked/for.html")
    assert done.stdout == "asked/for.html\n"
    assert (run.root / "asked/for.html").read_text("utf-8").startswith("<!doctype html>")
