"""The context of an image: written whole or not at all, measured, and shown."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.build import build_context, cache
from deploy.config import configuration
from deploy.core.entities import Flow
from deploy.core.errors import DeployError
from tests import projects


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flow:
    monkeypatch.chdir(tmp_path)
    return configuration.load_flow(projects.make(tmp_path, {}), "hello")


def written(target: Path, text: str = "FROM base\n") -> None:
    with build_context.create(target) as draft:
        build_context.write_file(draft / "Dockerfile", text)
        build_context.write_file(draft / "app/flow/answer.py", "x = 1\n")


def test_a_context_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / ".build/hello"
    written(target)
    (target / "app/old.py").touch()
    written(target, "FROM other\n")
    assert (target / "Dockerfile").read_text(encoding="utf-8") == "FROM other\n"
    assert not (target / "app/old.py").exists()
    assert [path.name for path in target.parent.iterdir()] == ["hello"]


def test_one_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / ".build/hello"
    written(target)
    with pytest.raises(KeyError), build_context.create(target) as draft:
        build_context.write_file(draft / "Dockerfile", "FROM broken\n")
        raise KeyError
    assert (target / "Dockerfile").read_text(encoding="utf-8") == "FROM base\n"
    assert [path.name for path in target.parent.iterdir()] == ["hello"]


def test_a_folder_with_something_else_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").touch()
    with pytest.raises(DeployError) as caught:
        written(tmp_path / "thesis")
    assert str(caught.value) == (
        "thesis: this folder contains something other than the context of an image\n"
        "  → choose a new or empty folder"
    )
    assert (tmp_path / "thesis/chapter.tex").exists()


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        written(tmp_path / "hello")
    finally:
        os.umask(before)
    assert (tmp_path / "hello/app/flow/answer.py").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "hello/app/flow").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "hello").stat().st_mode & 0o777 == 0o755


def test_a_large_file_of_the_flow_is_named(
    tmp_path: Path, flow: Flow, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build_context, "LARGE_FILE", 1_000_000)
    target = tmp_path / "context"
    build_context.write_file(target / "app/flow/data/rows.jsonl", "x" * 2_500_000)
    build_context.write_file(target / "packages/large.so", "x" * 2_500_000)
    build_context.check_size(target, flow)
    assert capfd.readouterr().err == "build     flow/data/rows.jsonl takes 2.5 MB of the image\n"


def test_an_image_above_its_limit_is_rejected(tmp_path: Path, flow: Flow) -> None:
    target = tmp_path / "context"
    build_context.write_file(target / "app/flow/rows.jsonl", "x" * 2_500_000)
    limited = replace(flow, image=replace(flow.image, max_size=2_000_000))
    with pytest.raises(DeployError) as caught:
        build_context.check_size(target, limited)
    assert str(caught.value) == (
        "flows/hello/deploy.yaml: image.max_size: it is 2.0 MB, and the image adds 2.5 MB to its "
        "base\n  → the largest file is app/flow/rows.jsonl, 2.5 MB"
    )
    build_context.check_size(target, replace(flow, image=replace(flow.image, max_size=2_500_000)))


def test_the_context_summary(tmp_path: Path) -> None:
    target = tmp_path / "context"
    written(target)
    build_context.write_file(target / "packages/large/a.py", "x" * 2_000_000)
    for number in range(build_context.MAX_LISTED):
        build_context.write_file(target / f"packages/small-{number:02}/a.py", "x" * 1_000_000)
    lines = build_context.describe(target).splitlines()
    assert lines[:2] == ["FROM base", ""]
    assert lines[2:6] == [
        "    0.0 kB  app/",
        "    0.0 kB    app/flow/",
        "   14.0 MB  packages/",
        "    2.0 MB    packages/large/",
    ]
    assert lines[-1] == "    1.0 MB    … 1 more"


@pytest.mark.parametrize(("text", "size"), [("500 MB", 500_000_000), ("1.5GB", 1_500_000_000)])
def test_the_limit_in_bytes(text: str, size: int, tmp_path: Path) -> None:
    declared = f"{projects.DEPLOY}image: {{max_size: {text}}}\n"
    project = projects.make(tmp_path, {"flows/hello/deploy.yaml": declared})
    assert configuration.load_flow(project, "hello").image.max_size == size


def test_a_result_is_kept_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = cache.get_entry("packages", "abc")
    with pytest.raises(KeyError), kept.fill() as draft:
        assert draft is not None
        (draft / "half").touch()
        raise KeyError
    assert not kept.path.exists()
    with kept.fill() as draft:
        assert draft is not None
        (draft / "whole").touch()
    with kept.fill() as draft:
        assert draft is None
    assert kept.path == tmp_path / "flow-deploy/packages/abc"
    assert [path.name for path in kept.path.iterdir()] == ["whole"]
