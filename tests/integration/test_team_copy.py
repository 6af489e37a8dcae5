"""A team's copy of the repository: the tool's unit tests and the tests of flows pass in it, whatever the team changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import projects

KEPT = "rewrite"
TARGETS = {
    "local": "local: {target: local}",
    "azureml": "test: {target: azureml}",
    "appservice": "live: {target: appservice, auth: key}",
}
ENVIRONMENT = """\
test:
  subscription: ${AZURE_SUBSCRIPTION_ID}
  resource_group: rg-flows-test
  registry: crflowstest.azurecr.io
  workspace: mlw-flows-test
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with one example flow and a new flow on each target, an environment more, and one renamed."""
    root = projects.copy_repository(tmp_path_factory.mktemp("team") / "our-flows")
    for path in (root / "flows").iterdir():
        if path.name != KEPT:
            shutil.rmtree(path)
    packages = projects.FIXTURE / "flows/faq"
    for target, environment in TARGETS.items():
        files: dict[str, object] = {"flows/hello/requirements.txt": None}
        made = projects.make(root / "new" / target, files).root / "flows/hello"
        declared = f"expect: {{answer: string}}\nenvironments:\n  {environment}\n"
        (made / "deploy.yaml").write_text(declared, encoding="utf-8")
        for name in ("requirements.txt", "requirements.lock"):
            shutil.copy(packages / name, made)
        made.rename(root / f"flows/our-{target}")
    shutil.rmtree(root / "new")
    environments = root / "environments.yaml"
    text = environments.read_text("utf-8").replace("\nprod:", "\nlive:")
    environments.write_text(text + ENVIRONMENT, encoding="utf-8")
    for folder in (".github/workflows", "azure-pipelines"):
        for path in (root / folder).glob("*.yml"):
            path.write_text(path.read_text("utf-8").replace("prod", "live"), encoding="utf-8")
    (root / "infra/prod.bicepparam").rename(root / "infra/live.bicepparam")
    # Some tests read the list of files in git.
    for command in (["init", "-q"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


@pytest.mark.slow
def test_unit_tests_of_the_tool_pass(root: Path) -> None:
    marks = "not integration and not benchmark and not alone and not slow"
    _run_pytest(root, "tests/unit", "-n", "2", "--dist", "loadfile", "-m", marks)


def test_every_flow_is_tested(root: Path) -> None:
    printed = _run_pytest(root, "tests/flows", "-v")
    for name in (f"{KEPT}: sample (stand-in model)", *(f"our-{name}: sample" for name in TARGETS)):
        assert f"[{name}] PASSED" in printed


def test_a_copy_without_flows_has_nothing_to_test(root: Path) -> None:
    printed = _run_pytest(root, "tests/flows", "--flow", "no-such")
    assert "no flow no-such" in printed


def _run_pytest(root: Path, *arguments: str) -> str:
    """Run pytest in the copy, and return what it prints."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    completed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout
