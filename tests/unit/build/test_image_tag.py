"""The content tag: the same for the same content anywhere, another for each change that reaches the image."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.build import flow_files, flow_image, lock_files
from deploy.build.base_image import BaseImage
from deploy.config import configuration
from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from tests.projects import FIXTURE

BASE = BaseImage("flow-base:python3.11-bookworm-amd64-000000000000", "sha256:0")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(FIXTURE / "flows", folder / "flows")
    shutil.copy(FIXTURE / "environments.yaml", folder)
    return folder


def load(root: Path, name: str = "triage") -> Flow:
    return configuration.load_flow(configuration.open_project(root), name)


def tag(root: Path, definition: Flow | None = None, base: BaseImage = BASE) -> str:
    return flow_image.collect_inputs(definition or load(root), base, root).tag


def test_the_folder_of_the_clone_does_not_matter(root: Path) -> None:
    assert tag(root) == tag(FIXTURE)


def test_the_id_of_a_base_that_is_known_by_content_does_not_matter(root: Path) -> None:
    assert tag(root) == tag(root, base=replace(BASE, id="sha256:1"))
    assert tag(root) != tag(root, base=replace(BASE, reference=BASE.reference[:-1] + "1"))
    local = BaseImage("my-base:latest", "sha256:0")
    assert tag(root, base=local) != tag(root, base=replace(local, id="sha256:1"))


@pytest.mark.parametrize(
    "path",
    ["flows/triage/reply.jinja2", "flows/triage/flow.dag.yaml", "flows/faq/normalise.py"],
)
def test_each_file_of_the_flow_matters_and_its_additional_includes_too(
    path: str, root: Path
) -> None:
    before = tag(root)
    with (root / path).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert tag(root) != before


def test_a_new_file_matters_and_so_does_its_name(root: Path) -> None:
    before = tag(root)
    (root / "flows/triage/a.txt").write_text("x", encoding="utf-8")
    with_file = tag(root)
    (root / "flows/triage/a.txt").rename(root / "flows/triage/b.txt")
    assert len({before, with_file, tag(root)}) == 3


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        "prod.env",
        ".promptflow/x.json",
        "__pycache__/a.cpython-311.pyc",
        "requirements.txt.swp",
    ],
)
def test_files_that_are_not_part_of_the_flow(name: str, root: Path) -> None:
    path = root / "flows/triage" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("SECRET=1", encoding="utf-8")
    counted = name in {
        p.partition("flows/triage/")[2] for p in flow_files.list_files(load(root), root)
    }
    assert counted == (name == "requirements.txt.swp")


def test_settings_of_an_environment_do_not_matter(root: Path) -> None:
    before = tag(root)
    path = root / "flows/triage/deploy.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("{target: local}", "{target: local, memory: 2g}"), encoding="utf-8"
    )
    assert tag(root) == before
    path.write_text(text.replace("AZURE_OPENAI_ENDPOINT", "OTHER_ENDPOINT"), encoding="utf-8")
    assert tag(root) != before


def test_lock_python_platform_and_init_matter(root: Path) -> None:
    definition = load(root)
    arm = replace(definition.image, platform="linux/arm64")
    tags = {
        tag(root),
        tag(root, replace(definition, image=arm)),
        tag(root, replace(definition, init={"a": 1})),
    }
    assert len(tags) == 3


def test_a_lock_that_was_changed_by_hand_is_rejected(root: Path) -> None:
    lock = root / "flows/triage" / lock_files.LOCK
    text = lock.read_text(encoding="utf-8")
    for changed in (text + "another==1\n", text + "--index-url https://example.org\n"):
        lock.write_text(changed, encoding="utf-8")
        with pytest.raises(DeployError) as caught:
            tag(root)
        assert caught.value.problems[0].what == "it was edited manually"


def test_links_are_packed_as_their_targets(root: Path, tmp_path: Path) -> None:
    link = root / "flows/triage/linked.txt"
    link.symlink_to("../faq/handbook.md")
    found = flow_files.list_files(load(root), root)
    assert found["flows/triage/linked.txt"] == root / "flows/faq/handbook.md"
    link.unlink()
    (tmp_path / "outside.txt").write_text("x", encoding="utf-8")
    link.symlink_to(tmp_path / "outside.txt")
    with pytest.raises(DeployError) as caught:
        flow_files.list_files(load(root), root)
    assert caught.value.problems[0].what == "this link does not lead to a file of the repository"


@pytest.mark.parametrize(
    ("requirements", "missing"),
    [("lunr==0.8.0", "promptflow-core"), ("promptflow-core==1.18.5", "promptflow-tools")],
)
def test_packages_that_the_kind_of_flow_needs(requirements: str, missing: str, root: Path) -> None:
    with pytest.raises(DeployError) as caught:
        flow_files.check_packages(load(root), requirements + "\n")
    assert caught.value.problems[0].what == f"this flow cannot run without {missing}"


@pytest.mark.parametrize(
    ("include", "what"),
    [
        ("../nothing.py", "../nothing.py does not exist"),
        ("../../../outside.py", "../../../outside.py is outside of the repository"),
        ("../../.env", "../../.env has a name that starts with a dot"),
    ],
)
def test_bad_includes(include: str, what: str, root: Path) -> None:
    path = root / "flows/triage/flow.dag.yaml"
    path.write_text(path.read_text("utf-8").replace("../faq/normalise.py", include), "utf-8")
    with pytest.raises(DeployError) as caught:
        flow_files.list_files(load(root), root)
    assert caught.value.problems[0].what == what


@pytest.mark.parametrize("folder_name", [flow_files.EVALUATION_FOLDER, flow_files.TESTS_FOLDER])
def test_evaluation_files_and_tests_are_in_no_image(folder_name: str, root: Path) -> None:
    before = tag(root), tag(root, load(root, "faq"))
    for name in ("faq", "triage"):
        folder = root / "flows" / name / folder_name
        (folder / "more" / "deep").mkdir(parents=True)
        (folder / "more" / "deep" / "customers.jsonl").write_text('{"question": "mine"}\n')
        with (root / "flows" / name / "deploy.yaml").open("a", encoding="utf-8") as file:
            file.write("# another threshold\n")
    assert (tag(root), tag(root, load(root, "faq"))) == before
    tree = flow_files.list_files(load(root), root)
    assert not [name for name in tree if f"/{folder_name}/" in name]


@pytest.mark.parametrize("include", ["../faq", "../../flows"])
def test_the_evaluation_of_an_included_flow_is_in_no_image(include: str, root: Path) -> None:
    entry = root / "flows/triage/flow.dag.yaml"
    text = entry.read_text(encoding="utf-8")
    entry.write_text(text.replace("- ../faq/normalise.py", f"- {include}"), encoding="utf-8")
    tree = flow_files.list_files(load(root), root)
    assert "flows/faq/normalise.py" in tree
    assert not [name for name in tree if "evaluation" in name or "tests" in name]
    assert "faq/normalise.py" in {
        name.removeprefix("flows/") for name in flow_files.list_files_by_flow_path(load(root), root)
    }


@pytest.mark.parametrize(
    "include", ["../faq/evaluation/questions.jsonl", "../faq/tests/cases.yaml"]
)
def test_an_include_of_evaluation_files_or_tests_is_rejected(
    include: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    entry = root / "flows/triage/flow.dag.yaml"
    text = entry.read_text(encoding="utf-8")
    entry.write_text(text.replace("../faq/normalise.py", include), encoding="utf-8")
    with pytest.raises(DeployError) as caught:
        flow_files.list_files(load(root), root)
    assert str(caught.value) == (
        f"flows/triage/flow.dag.yaml: additional_includes: {include} is in a folder that images do "
        "not include\n  → move the file out of evaluation/ or tests/"
    )


def test_a_link_to_an_evaluation_file_is_rejected(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    link = root / "flows/faq/questions.jsonl"
    link.symlink_to(root / "flows/faq/evaluation/questions.jsonl")
    with pytest.raises(DeployError) as caught:
        flow_files.list_files(load(root, "faq"), root)
    assert str(caught.value) == (
        "flows/faq/questions.jsonl: this link leads to a folder that images do not include\n"
        "  → move the file out of evaluation/ or tests/"
    )


def test_a_flow_finds_its_includes_beside_its_own_files(root: Path) -> None:
    tree = flow_files.list_files_by_flow_path(load(root), root)
    assert tree["normalise.py"] == root / "flows/faq/normalise.py"
    assert tree["result.py"] == root / "flows/triage/result.py"
