"""Which flows changed, and which files belong to a flow."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.ci import changes
from deploy.config import configuration
from deploy.config.configuration import Project
from tests import projects

# Two flows: one includes a folder, the other is a copy that does not.
FILES = {
    "flows/hello/flow.dag.yaml": projects.FLOW + "additional_includes:\n- ../../common\n",
    "common/words.txt": "a",
    "flows/other/deploy.yaml": projects.DEPLOY,
    "flows/other/flow.dag.yaml": projects.FLOW,
    "flows/other/answer.py": projects.CODE,
    "flows/other/sample.json": {"question": "why?"},
    "deploy/something.py": "",
    "docs/page.md": "",
    "README.md": "",
}


def git(root: Path, *arguments: str) -> str:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": os.devnull}
    who |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    done = subprocess.run(
        ["git", *arguments],
        cwd=root,
        env={**os.environ, **who},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A repository with one commit."""
    made = projects.make(tmp_path / "project", FILES)
    git(made.root, "init", "-q")
    git(made.root, "add", ".")
    git(made.root, "commit", "-qm", "first")
    monkeypatch.chdir(made.root)
    return made


def since(project: Project, revision: str = "HEAD") -> tuple[list[str], tuple[str, ...]]:
    found = changes.find_changes(project.root, configuration.load_flows(project), revision)
    return [flow.name for flow in found.flows], found.notes


@pytest.mark.parametrize(
    ("path", "flows"),
    [
        ("flows/hello/answer.py", ["hello"]),
        ("flows/hello/deploy.yaml", ["hello"]),
        ("flows/other/requirements.lock", ["other"]),
        ("flows/other/a file with blanks", ["other"]),
        ("common/words.txt", ["hello"]),
        ("common/new/deep.txt", ["hello"]),
        ("commonness.txt", []),
        ("docs/page.md", []),
        ("tests/test_it.py", []),
        ("README.md", []),
        ("deploy/something.py", ["hello", "other"]),
        ("environments.yaml", ["hello", "other"]),
        ("base.lock", ["hello", "other"]),
        ("tasks.py", ["hello", "other"]),
    ],
)
@pytest.mark.parametrize("committed", [True, False])
def test_flows_of_a_file(project: Project, path: str, flows: list[str], committed: bool) -> None:
    file = project.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.write("\n")
    if committed:
        git(project.root, "add", ".")
        git(project.root, "commit", "-qm", "second")
    assert since(project, "HEAD^" if committed else "HEAD")[0] == flows


@pytest.mark.parametrize(
    ("path", "tool"),
    [
        ("deploy/something.py", True),
        ("tests/unit/test_it.py", True),
        ("tests/flows.py", True),
        ("infra/main.bicep", True),
        (".github/workflows/deliver.yml", True),
        ("azure-pipelines/deliver.yml", True),
        ("docs/page.md", True),
        ("pyproject.toml", True),
        ("requirements.lock", True),
        ("tasks.py", True),
        ("flows/hello/answer.py", False),
        ("flows/hello/requirements.lock", False),
        ("tests/flows/test_flows.py", False),
        ("environments.yaml", False),
        ("extensions.txt", False),
        ("infra/dev.bicepparam", False),
        ("docs/adr/0001-a-decision.md", False),
        ("common/words.txt", False),
    ],
)
def test_files_of_the_tool_and_of_a_team(project: Project, path: str, tool: bool) -> None:
    flows = configuration.load_flows(project)
    file = project.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("another content\n", encoding="utf-8")
    assert changes.find_changes(project.root, flows, "HEAD").tool is tool


def test_without_a_known_revision_the_tool_counts_as_changed(project: Project) -> None:
    flows = configuration.load_flows(project)
    assert changes.find_changes(project.root, flows, "0" * 40).tool
    assert not changes.find_changes(project.root, flows, "HEAD").tool


def test_removed_files_count(project: Project) -> None:
    (project.root / "common/words.txt").unlink()
    assert since(project)[0] == ["hello"]
    # It is included and gone: the build says so.
    (project.root / "common").rmdir()
    assert since(project)[0] == ["hello"]
    shutil.rmtree(project.root / "flows/other")
    gone = (
        "flows/other was removed, but its deployments were not: run `inv destroy --flow other` in "
    )
    assert since(project) == (["hello"], (f"{gone}a commit that still has the flow",))


def test_a_file_that_moved_is_of_both(project: Project) -> None:
    git(project.root, "mv", "flows/hello/answer.py", "flows/other/more.py")
    assert since(project)[0] == ["hello", "other"]


def test_targets_of_links_belong_to_the_flow(project: Project) -> None:
    (project.root / "flows/other/words.txt").symlink_to("../../elsewhere.txt")
    (project.root / "elsewhere.txt").write_text("a", "utf-8")
    git(project.root, "add", ".")
    git(project.root, "commit", "-qm", "second")
    (project.root / "elsewhere.txt").write_text("b", "utf-8")
    assert since(project)[0] == ["other"]


def test_evaluation_files_belong_to_the_flow(project: Project) -> None:
    deploy = project.root / "flows/other/deploy.yaml"
    judged = "evaluation:\n  data: ../../rows.jsonl\n  flows: {../../judge: {}}\n"
    deploy.write_text(projects.DEPLOY + judged, "utf-8")
    for name in ("rows.jsonl", "judge/flow.dag.yaml"):
        git(project.root, "add", ".")
        git(project.root, "commit", "-qm", "as it is")
        (project.root / name).parent.mkdir(exist_ok=True)
        (project.root / name).write_text("{}", "utf-8")
        assert since(project)[0] == ["other"], name


@pytest.mark.parametrize("revision", ["0" * 40, "no-such", "--all", "a" * 40, ""])
def test_a_revision_that_git_does_not_know_is_all(project: Project, revision: str) -> None:
    note = f"git does not know the revision {revision!r}: all flows are included"
    assert since(project, revision) == (["hello", "other"], (note,))


def test_outside_of_git_all_changed(tmp_path: Path) -> None:
    made = projects.make(tmp_path, {})
    assert since(made)[0] == ["hello"]


def test_a_checkout_that_is_a_folder_of_a_repository(tmp_path: Path) -> None:
    made = projects.make(tmp_path / "inner", FILES)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    (made.root / "flows/hello/answer.py").write_text("", "utf-8")
    (tmp_path / "tasks.py").touch()
    assert since(made)[0] == ["hello"]


def test_the_reason_for_selecting_all_flows_is_reported(project: Project) -> None:
    (project.root / "tasks.py").touch()
    assert since(project)[1] == ("tasks.py changed, which all flows share: all flows are included",)
    (project.root / "base.lock").touch()
    assert since(project)[1] == (
        "base.lock and 1 more changed, which all flows share: all flows are included",
    )


def test_an_extension_of_this_repository_is_shared_by_all(project: Project) -> None:
    own = project.root / "kinds/own"
    own.mkdir(parents=True)
    (project.root / "extensions.txt").write_text("# ours\n./kinds/own\nelsewhere==1.0\n")
    git(project.root, "add", ".")
    git(project.root, "commit", "-qm", "an extension")
    (own / "own.py").write_text("changed = True\n")
    assert since(project) == (
        ["hello", "other"],
        ("kinds/own/own.py changed, which all flows share: all flows are included",),
    )
