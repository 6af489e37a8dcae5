"""The pytest plugin with which another distribution tests its target against a fake platform."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import docker

from tests.integration import installed_extension

DISTRIBUTION = installed_extension.ROOT / "tests/fixtures/target-boxes"


def run_contract(
    tmp_path: Path, distribution: Path = DISTRIBUTION, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run the tests of the distribution, installed beside the tool."""
    site = tmp_path / "site"
    with installed_extension.installed(site, distribution):
        command = [sys.executable, "-m", "pytest", "-p", "deploy.testing.plugin", "-q", *options]
        folder = tmp_path / "tests"
        folder.mkdir()
        for path in (DISTRIBUTION / "tests").glob("*.py"):
            (folder / path.name).write_text(path.read_text("utf-8"), encoding="utf-8")
        paths = f"{site}{os.pathsep}{installed_extension.ROOT}"
        return subprocess.run(
            [*command, "-c", os.devnull, f"--rootdir={folder}", str(folder)],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )


def test_a_target_of_another_distribution_passes_the_contract(tmp_path: Path) -> None:
    done = run_contract(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_a_target_that_keeps_its_deployment_fails_the_contract(
    tmp_path: Path, client: docker.DockerClient
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(DISTRIBUTION, copy)
    path = copy / "flow_deploy_boxes/platform.py"
    text = path.read_text("utf-8")
    kept = "        for box in self._containers():\n            box.remove(force=True)\n        return True"
    assert kept in text
    path.write_text(text.replace(kept, "        return False"), encoding="utf-8")
    done = run_contract(tmp_path, copy, "-k", "destroy")
    for container in client.containers.list(all=True, filters={"label": "boxes.app"}):
        container.remove(force=True)
    assert done.returncode == 1, done.stdout
    assert "TestBoxes::test_destroy_removes_the_deployment" in done.stdout
    assert "1 failed" in done.stdout
