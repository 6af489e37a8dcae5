"""Packing: the same as plain `pf flow build`; tools that are made once, and again when they are not whole."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import docker
import pytest
from uv import find_uv_bin

from deploy import kinds
from deploy.build import base_image, flow_files, lock_files, package_flow, packages
from deploy.config import configuration
from deploy.core.entities import ImageSettings
from deploy.delivery import resolve_image
from tests import projects
from tests.integration.conftest import built
from tests.projects import FIXTURE

FLOWS = sorted(path.parent.name for path in (FIXTURE / "flows").glob("*/deploy.yaml"))


@pytest.fixture(scope="session")
def pf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `pf` of a virtual environment with all of promptflow, and what the flows need."""
    venv = tmp_path_factory.mktemp("pf") / "venv"
    uv = find_uv_bin()
    needed = [f"-r{FIXTURE / 'flows' / name / lock_files.REQUIREMENTS}" for name in FLOWS]
    for command in (
        [uv, "venv", "--quiet", "--python", "3.11", str(venv)],
        [uv, "pip", "install", "--quiet", f"--python={venv}", *needed, "promptflow==1.18.5"],
    ):
        subprocess.run(command, check=True)
    return venv / "bin" / "pf"


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a packed flow, without bytecode and what tools look like in an editor."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".promptflow"} & set(path.parts)
    }


# DAG flows besides triage, which has all that these have.
SIMPLER = ("chat", "faq")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SIMPLER else ()) for name in FLOWS],
)
def test_the_same_as_plain_pf_flow_build(
    name: str, pf: Path, client: docker.DockerClient, tmp_path: Path
) -> None:
    definition, _ = built(name)
    native = base_image.find(client, definition.image, FIXTURE)
    assert native is not None
    lock = lock_files.read(definition)
    tree = flow_files.list_files(definition, FIXTURE)
    package_flow.pack(client, definition, tree, lock, native, tmp_path / "ours")

    for path, file in tree.items():
        (tmp_path / "source" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / path).write_bytes(file.read_bytes())
    source = tmp_path / "source" / "flows" / name
    home = tmp_path / "home" / ".promptflow"
    home.mkdir(parents=True)
    (home / "pf.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    environment = {**os.environ, "HOME": str(home.parent), "PF_HOME_DIRECTORY": str(home)}
    arguments = ["flow", "build", "--format", "docker", "--flow-only"]
    arguments += [
        "--source",
        str(source / definition.entry if definition.kind == "prompty" else source),
    ]
    arguments += ["--output", str(tmp_path / "plain")]
    subprocess.run([pf, *arguments], check=True, env=environment, capture_output=True)

    assert content(tmp_path / "plain")
    assert content(tmp_path / "ours") == content(tmp_path / "plain")


def test_tools_that_are_not_whole_are_made_again(
    client: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # A key of this test's own, and one small package in place of promptflow-devkit.
    monkeypatch.setattr(packages, "RECIPE_VERSION", "test")
    lock = (FIXTURE / "flows/faq/requirements.lock").read_text(encoding="utf-8")
    small = re.search(r"^lunr==.*?(?=^[a-z])", lock, re.MULTILINE | re.DOTALL)
    assert small is not None
    monkeypatch.setattr(lock_files, "strip_comments", lambda _: small[0])
    native = base_image.find(client, ImageSettings(), FIXTURE)
    assert native is not None
    name = package_flow.ensure_tools_volume(client, native, "3.11")
    mark = f"flow-volume:{name.rpartition('-')[2]}"
    try:
        assert "into the volume" in capfd.readouterr().err
        assert package_flow.ensure_tools_volume(client, native, "3.11") == name
        assert capfd.readouterr().err == ""
        # As a process that was killed leaves it: a volume, and nothing that says it is whole.
        client.images.remove(mark, noprune=True)
        assert package_flow.ensure_tools_volume(client, native, "3.11") == name
        assert client.images.get(mark)
        assert "into the volume" in capfd.readouterr().err
    finally:
        client.images.remove(mark, noprune=True)
        client.volumes.get(name).remove()


# What a module can try while packing imports it: the server and its bytecode, code that each start
# of Python runs, packages, tools and the standard library.
ATTACK = """
import pathlib, sys, sysconfig

EVIL = "raise SystemExit('replaced')"


def write(path, content):
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError:
        pass


bytecode = pathlib.Path(__file__).read_bytes()
for root in ("/out", "/app", "/pack", "/app/packages", "/opt/pack", "/out/flow/..", sysconfig.get_path("stdlib")):
    for name in ("flow_server/app.py", "flow_server/serve.py", "shims/promptflow/_internal/__init__.py"):
        write(f"{root}/{name}", EVIL.encode())
        folder, _, file = name.rpartition("/")
        cached = f"{file[:-3]}.{sys.implementation.cache_tag}.pyc"
        write(f"{root}/{folder}/__pycache__/{cached}", bytecode)
    for name in ("sitecustomize.py", "usercustomize.py", "evil.pth", "about.json", "json.py"):
        write(f"{root}/{name}", EVIL.encode())
"""


def test_a_flow_that_is_packed_cannot_replace_the_server(
    tmp_path: Path, client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("requirements.txt", "requirements.lock")
    files = {f"flows/hello/{n}": (FIXTURE / "flows/faq" / n).read_text("utf-8") for n in names}
    files["flows/hello/answer.py"] = projects.CODE + ATTACK
    project = projects.make(tmp_path / "project", files)
    monkeypatch.chdir(project.root)
    made = resolve_image.build_image(
        project, configuration.load_flow(project, "hello"), context=tmp_path / "context"
    )
    try:
        app = tmp_path / "context/app"
        definition, _ = built("faq")
        sent = package_flow.list_server_files(kinds.get("dag"), lock_files.read(definition))
        assert {path.name for path in app.iterdir()} == {
            "about.json",
            "flow",
            "flow_server",
            "shims",
        }
        sources = {
            path.relative_to(app).as_posix(): path
            for name in ("flow_server", "shims")
            for path in (app / name).rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }
        assert sources.keys() == sent.keys()
        for name, path in sources.items():
            assert path.read_bytes() == sent[name].read_bytes(), name
        # Bytecode, the packages and the standard library: those of a flow that tries nothing.
        code = """
import hashlib, pathlib, sys, sysconfig
print([getattr(sys.modules.get(name), "__file__", "") for name in ("sitecustomize", "usercustomize")])
for root in ("/app/flow_server", "/app/shims", "/app/packages", sysconfig.get_path("stdlib")):
    for path in sorted(pathlib.Path(root).rglob("*")):
        if path.is_file():
            print(path, hashlib.sha256(path.read_bytes()).hexdigest())
"""
        found, wanted = (
            client.containers.run(
                image.id, ["python3", "-c", code], remove=True, network_disabled=True
            )
            for image in (made, built("faq")[1])
        )
        assert found == wanted
    finally:
        client.images.remove(made.id, force=True)
