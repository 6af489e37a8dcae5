"""Images that one CI job passes to the next."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.ci import matrix
from deploy.config import configuration
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.delivery import image_reference
from tests import projects
from tests.unit.ci.workflow_files import list_workflows, read_github_workflow
from tests.unit.cli.test_tasks import inv


def test_an_image_is_named_by_its_file_or_by_the_folder_of_all(tmp_path: Path) -> None:
    image = Image("r/faq", "0" * 12, "sha256:1", "linux/amd64", "b", "c", "sha256:" + "a" * 64)
    path = image_reference.write(tmp_path, "faq", image, "c1")
    assert (
        image_reference.get_reference_file(path, "faq")
        == image_reference.get_reference_file(path.parent, "faq")
        == path
    )
    with pytest.raises(DeployError, match=r"chat\.json: the file does not exist"):
        image_reference.read(image_reference.get_reference_file(path.parent, "chat"), "chat", "c1")


def test_a_folder_of_images_that_is_not_there_is_a_readable_error() -> None:
    done = inv("deploy", "--image", "no-such-folder")
    assert (done.returncode, done.stderr) == (
        1,
        "--image: the file or folder no-such-folder does not exist\n"
        "  → `inv push` writes .artifacts/‹flow›.json\n",
    )


def test_a_flow_without_an_image_source_is_rejected(
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
        "flows/hello/deploy.yaml: environments: the flow has prod but not dev, from which its image is "
        "promoted\n  → add dev to its environments"
    )


def test_each_environment_gets_the_very_image_that_the_one_before_has() -> None:
    """No line deploys or promotes what it would have to look for."""
    text = "\n".join(path.read_text("utf-8") for path in list_workflows().values())
    lines = re.findall(r"inv (?:deploy|promote) .*", text)
    assert len(lines) == 4
    assert all("--image .artifacts" in line for line in lines)
    jobs = read_github_workflow("deliver.yml")["jobs"]
    given = {name: job["with"] for name, job in jobs.items()}
    assert [one.get("from") for one in given.values()] == [None, *list(given)[:-1]]
    assert [jobs[name].get("needs") for name in jobs] == [one.get("from") for one in given.values()]
    assert len({one["since"] for one in given.values()}) == 1
