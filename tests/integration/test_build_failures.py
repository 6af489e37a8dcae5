"""Builds on a real engine that fail, and their isolation."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import docker
import pytest

from deploy.build import base_image, docker_build, packages
from deploy.config import configuration
from deploy.core.entities import ImageSettings
from deploy.core.errors import DeployError
from deploy.delivery import resolve_image
from deploy.docker import engine
from tests import projects
from tests.integration.built_images import BUILDERS, build, docker_build_of
from tests.projects import FIXTURE


def refusal(built_project: configuration.Project) -> str:
    with pytest.raises(DeployError) as caught:
        build(built_project)
    return str(caught.value)


def test_a_configured_base_that_is_unavailable(built_project: configuration.Project) -> None:
    path = built_project.root / "flows/hello/deploy.yaml"
    path.write_text(projects.DEPLOY + "image: {base: 'localhost:1/none:1'}\n", encoding="utf-8")
    message = refusal(built_project)
    start = "base image localhost:1/none:1: the engine cannot reach its registry ("
    assert message.startswith(start)
    assert message.endswith(
        "→ let the engine reach it (a proxy is set on the engine), or set image.base or "
        "FLOW_BASE_IMAGE to a copy in a registry that it reaches"
    )


def test_a_flow_that_pf_cannot_pack_leaves_the_image_before(
    built_project: configuration.Project, client: docker.DockerClient
) -> None:
    first = build(built_project)
    path = built_project.root / "flows/hello/flow.dag.yaml"
    path.write_text(projects.FLOW.replace("answer.py", "nothing.py"), encoding="utf-8")
    message = refusal(built_project)
    assert message.startswith("packing hello:")
    assert "nothing.py" in message
    assert "Traceback" not in message
    assert first.reference in engine.list_short_tags(client.images.get(first.id))


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_failing_step_is_named_with_its_last_lines(
    builder: str, client: docker.DockerClient, tmp_path: Path
) -> None:
    found = base_image.find(client, ImageSettings(), FIXTURE)
    assert found is not None
    run = json.dumps(["python3", "-c", "print(1/0)"])
    (tmp_path / "Dockerfile").write_text(f"FROM {found.reference}\nRUN {run}\n", "utf-8")
    with pytest.raises(DeployError) as caught:
        docker_build_of(client, builder, tmp_path, "never:1")
    message = str(caught.value)
    assert message.startswith("never:1: the build failed:\n")
    assert "ZeroDivisionError: division by zero" in message
    assert "python3" in message.splitlines()[-1]
    assert not client.images.list("never")


def test_proxies_and_variables_of_this_machine_reach_no_image(
    built_project: configuration.Project,
    client: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxies = {"default": {"httpProxy": "http://user:secret-of-proxy@127.0.0.1:9"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}), encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("LEAK", "leak-of-machine")
    folder = built_project.root / "context"
    made = resolve_image.build_image(
        built_project, configuration.load_flow(built_project, "hello"), context=folder
    )
    client.images.remove(made.id, force=True)
    made = resolve_image.build_image(built_project, configuration.load_flow(built_project, "hello"))
    text = json.dumps([client.images.get(made.id).attrs, client.images.get(made.id).history()])
    assert "secret-of-proxy" not in text
    assert "leak-of-machine" not in text
    docker_build.build_with_engine(client, {".": folder}, "by-engine:proxy")
    text = json.dumps(client.images.get("by-engine:proxy").attrs)
    client.images.remove("by-engine:proxy", force=True)
    assert "secret-of-proxy" not in text


def test_packing_sees_nothing_of_the_user(
    built_project: configuration.Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEAK", "from-the-machine")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    code = (
        projects.CODE
        + "\nimport os\nassert 'LEAK' not in os.environ and os.environ['HOME'] == '/pack'\n"
    )
    (built_project.root / "flows/hello/answer.py").write_text(code, encoding="utf-8")
    assert build(built_project).tag
    assert not (tmp_path / "home/.promptflow").exists()


def test_a_source_that_must_be_compiled_for_the_platform_is_rejected(
    built_project: configuration.Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    client: docker.DockerClient,
) -> None:
    source = tmp_path / "needs-compiling-1.0"
    source.mkdir()
    (source / "setup.py").write_text(
        "from setuptools import Extension, setup\n"
        "setup(name='needs-compiling', version='1.0', ext_modules=[Extension('needs', ['needs.c'])])\n",
        encoding="utf-8",
    )
    (source / "needs.c").write_text(
        '#include <Python.h>\nstatic struct PyModuleDef m = {PyModuleDef_HEAD_INIT, "needs"};\n'
        "PyMODINIT_FUNC PyInit_needs(void) { return PyModule_Create(&m); }\n",
        encoding="utf-8",
    )
    (source / "PKG-INFO").write_text(
        "Metadata-Version: 2.1\nName: needs-compiling\nVersion: 1.0\n", "utf-8"
    )
    links = tmp_path / "links"
    links.mkdir()
    archive = links / "needs_compiling-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, "needs_compiling-1.0")
    digest = subprocess.run(
        ["sha256sum", archive], capture_output=True, text=True, check=True
    ).stdout[:64]
    monkeypatch.setenv("UV_FIND_LINKS", str(links))
    found = base_image.find(client, ImageSettings(), FIXTURE)
    assert found is not None
    lock = f"needs-compiling==1.0 --hash=sha256:{digest}\n"
    with pytest.raises(DeployError) as caught:
        packages.ensure_folder(client, found, lock, "3.11", "linux/amd64")
    assert str(caught.value) == (
        "packages: published as source only, with parts to compile for linux/amd64: needs_compiling-1.0\n"
        "  → use a version that has a wheel, or publish one to your package index"
    )
