"""Kinds of flow of other distributions: found by entry points, and judged before they are used."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from deploy import kinds
from deploy.build import flow_files, flow_image, lock_files, package_flow
from deploy.build.base_image import BaseImage
from deploy.cli import doctor
from deploy.config import configuration
from deploy.core.errors import DeployError
from tests import projects
from tests.unit.config.test_target_registry import Installer, installer  # noqa: F401 (a fixture)

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/kind-function"
GOOD = """\
from pathlib import Path
from deploy.kinds.base import Kind, find_by_pattern
from tests import projects

CODE = Path(__file__).with_name("made_up_code")
CODE.mkdir(exist_ok=True)
KIND = Kind("script", "flow.script", find_by_pattern("*.script"), "made_up_code.loading", CODE)
"""


@pytest.fixture(name="install")
def _install(installer: Installer) -> Installer:  # noqa: F811
    return installer


def install_kind(install: Installer, code: str = GOOD, name: str = "script") -> None:
    install.install("made_up_kind", {name: "made_up_kind:KIND"}, code, kinds.ENTRY_POINT_GROUP)


def test_a_folder_is_recognised_after_the_projects_own(install: Installer, tmp_path: Path) -> None:
    install_kind(install)
    assert list(kinds.all_kinds()) == ["dag", "flex", "prompty", "script"]
    (tmp_path / "a.script").touch()
    assert kinds.detect_kind(tmp_path) == ("script", "a.script")
    (tmp_path / "flow.dag.yaml").touch()
    assert kinds.detect_kind(tmp_path) == ("dag", "flow.dag.yaml")


def test_a_folder_without_a_flow_is_an_error_that_lists_the_kinds(
    install: Installer, tmp_path: Path
) -> None:
    install_kind(install)
    with pytest.raises(DeployError) as caught:
        kinds.detect_kind(tmp_path)
    assert caught.value.problems[0].hint == (
        "a flow has one of: flow.dag.yaml, flow.flex.yaml, one *.prompty file, flow.script"
    )


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        ("KIND = 'script'", "script", "this is not a kind of flow but a str"),
        (GOOD, "other", "its kind calls itself script, and its entry point other"),
        (GOOD, "dag", "its kind dag has the same name as a built-in one"),
        (
            GOOD.replace('"made_up_code.loading"', '"promptflow.loading"'),
            "script",
            "its scorer promptflow.loading is not in its code, a folder that is called promptflow",
        ),
        (
            GOOD.replace(", CODE)", ")"),
            "script",
            "its scorer made_up_code.loading is not in its code, a folder that is called made_up_code",
        ),
        (
            GOOD.replace("made_up_code", "settings"),
            "script",
            "its folder settings has the name of a part of the server",
        ),
    ],
)
def test_an_invalid_kind_is_a_readable_error(
    install: Installer, code: str, name: str, message: str
) -> None:
    install_kind(install, code, name)
    with pytest.raises(DeployError) as caught:
        kinds.all_kinds()
    (problem,) = caught.value.problems
    assert problem.where == f"extension made_up_kind, entry point {name} = made_up_kind:KIND"
    assert problem.what == message


def test_doctor_lists_kinds(install: Installer, tmp_path: Path) -> None:
    install_kind(install)
    found = doctor.check_requirements(configuration.open_project(tmp_path))
    assert [one.detail for one in found if one.requirement == "extensions"] == ["script"]


def test_a_kind_that_is_gone(install: Installer) -> None:
    with pytest.raises(DeployError) as caught:
        kinds.get("script")
    assert str(caught.value) == (
        "script: there is no such kind of flow\n  → there is: dag, flex, prompty"
    )


def test_promptflows_parts_are_in_images_of_its_kinds_alone(install: Installer) -> None:
    install_kind(install)
    of_dag, of_script = (
        set(package_flow.list_server_files(kinds.get(name), "")) for name in ("dag", "script")
    )
    assert {"flow_server/serve.py", "flow_server/scorer.py"} <= of_script
    assert of_dag - of_script
    assert all(
        name.startswith(("flow_server/promptflow/", "flow_server/fast_client/", "shims/"))
        for name in of_dag - of_script
    )


def test_the_locks_of_the_example_flows_are_current(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    from flow_deploy_function import KIND

    monkeypatch.setattr(kinds, "all_kinds", lambda: {**kinds.BUILT_IN, "function": KIND})
    shutil.copytree(EXAMPLE / "flows", tmp_path / "flows")
    (tmp_path / "environments.yaml").write_text("local: {}\n", encoding="utf-8")
    project = configuration.open_project(tmp_path)
    for definition in configuration.load_flows(project, None):
        assert (definition.kind, definition.entry) == ("function", "function.py")
        flow_image.check_files(definition, project.root)
        assert "\npromptflow" not in f"\n{lock_files.read(definition)}"


def test_another_way_to_be_scored_is_another_image(
    install: Installer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faq = configuration.load_flow(configuration.open_project(projects.FIXTURE), "faq")
    base = BaseImage("flow-base:python3.11-bookworm-amd64-000000000000", "sha256:0")
    before = flow_image.collect_inputs(faq, base, projects.FIXTURE).tag
    install_kind(install)
    assert flow_image.collect_inputs(faq, base, projects.FIXTURE).tag == before, (
        "others' kinds change no image"
    )
    other = replace(kinds.BUILT_IN["dag"], scorer="pf.other")
    monkeypatch.setattr(kinds, "all_kinds", lambda: {**kinds.BUILT_IN, "dag": other})
    assert flow_image.collect_inputs(faq, base, projects.FIXTURE).tag != before


def test_a_tag_depends_on_the_server_files_of_its_kind(
    install: Installer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of promptflow's part of the server is a new image of promptflow's flows alone."""
    install_kind(install)
    shutil.copytree(ROOT / "deploy/server", tmp_path / "flow_server")
    monkeypatch.setattr(kinds, "SERVER_FOLDER", tmp_path / "flow_server")
    every = [kinds.get(name) for name in ("dag", "script")]

    def seen() -> list[str]:
        return [flow_files.hash_files(package_flow.list_server_files(kind, "")) for kind in every]

    before = seen()
    with (tmp_path / "flow_server/promptflow/loading.py").open("a", encoding="utf-8") as file:
        file.write("\n")
    dag, script = seen()
    assert dag != before[0]
    assert script == before[1]
    with (tmp_path / "flow_server/serve.py").open("a", encoding="utf-8") as file:
        file.write("\n")
    assert seen()[1] != before[1]


@pytest.mark.parametrize(
    ("printed", "hint"),
    [
        (
            "Failed to load python module: No module named 'numpy.linalg'",
            "add numpy's package to flows/hello/requirements.txt, then `inv lock --flow hello`; list "
            "your files from other folders under additional_includes",
        ),
        (
            "The return annotation of the entry function must be dataclass, TypedDict or string",
            "remove the annotation, or return a dataclass, a TypedDict or a string",
        ),
        ("something else", ""),
    ],
)
def test_advice_for_a_flow_that_cannot_be_packed(
    printed: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = projects.make(tmp_path, {})
    monkeypatch.chdir(project.root)
    assert package_flow.find_hint(printed, configuration.load_flow(project, "hello")) == hint
