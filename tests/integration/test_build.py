"""Building on a real engine: what is rebuilt and what is not, what is in the image, and what is refused."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from deploy.build import base_image, docker_build, flow_image, labels, packages
from deploy.config import configuration
from deploy.core.entities import Image, ImageSettings
from deploy.core.errors import DeployError
from deploy.delivery import resolve_image
from deploy.docker import engine
from tests import projects
from tests.integration.conftest import ROOT, built


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> configuration.Project:
    """A project with the locked packages of faq, so that they are there already."""
    names = ("requirements.txt", "requirements.lock")
    files = {f"flows/hello/{n}": (ROOT / "flows/faq" / n).read_text("utf-8") for n in names}
    monkeypatch.chdir(tmp_path)
    return projects.make(tmp_path, files)


def build(project: configuration.Project) -> Image:
    return resolve_image.build_image(project, configuration.load_flow(project, "hello"))


def refusal(project: configuration.Project) -> str:
    with pytest.raises(DeployError) as caught:
        build(project)
    return str(caught.value)


def layers(client: docker.DockerClient, made: Image) -> list[str]:
    found: list[str] = client.images.get(made.id).attrs["RootFS"]["Layers"]
    return found


def python(client: docker.DockerClient, made: Image, code: str) -> str:
    output: bytes = client.containers.run(
        made.id, ["python3", "-c", code], remove=True, read_only=True, network_disabled=True
    )
    return output.decode().strip()


@pytest.mark.bases
def test_unchanged_is_not_built_again(
    project: configuration.Project, client: docker.DockerClient, capfd: pytest.CaptureFixture[str]
) -> None:
    first = build(project)
    capfd.readouterr()
    second = build(project)
    assert second == first
    assert f"unchanged: {first.reference}" in capfd.readouterr().err


@pytest.mark.alone  # A build of the same packages beside it makes layers of its own, which may be reused.
def test_a_changed_line_changes_small_layers_only(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    first = build(project)
    path = project.root / "flows/hello/answer.py"
    path.write_text(projects.CODE + "# changed\n", encoding="utf-8")
    second = build(project)
    before, after = layers(client, first), layers(client, second)
    kept = [layer for layer in before if layer in after]
    # Base and packages stay; the server, the flow and what is written about it are one layer.
    assert before[: len(kept)] == kept
    assert len(before) - len(kept) == len(after) - len(kept) == 1
    sizes = [entry["Size"] for entry in client.images.get(second.id).history()]
    assert sizes[0] < sum(sizes) / 100


def test_the_image_is_the_base_and_what_the_lock_says(client: docker.DockerClient) -> None:
    _, made = built("faq")
    code = (
        "import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))"
    )
    found = {
        name.replace("_", "-").replace(".", "-") for name in python(client, made, code).split()
    }
    lock = (ROOT / "flows/faq/requirements.lock").read_text(encoding="utf-8")
    locked = {line.split("==")[0].replace(".", "-") for line in lock.splitlines() if "==" in line}
    # promptflow asks for the version of openai, which this flow does without.
    assert found - locked == {"openai"}
    assert {"promptflow-core", "promptflow-tools", "lunr"} <= found
    assert not {"promptflow-devkit", "pandas", "pip", "setuptools"} & found


def test_a_package_that_is_published_as_source_only_is_there(client: docker.DockerClient) -> None:
    _, made = built("faq")
    assert python(client, made, "import serpapi; print(serpapi.__name__)") == "serpapi"


@pytest.mark.bases
def test_packages_are_compiled_for_good(client: docker.DockerClient) -> None:
    _, made = built("faq")
    code = """
import pathlib, sys
for folder in ("packages/uvicorn", "flow_server", "flow", "shims/promptflow/_internal"):
    files = list(pathlib.Path("/app", folder, "__pycache__").glob("*.pyc"))
    assert files, folder
    for file in files:
        # PEP 552: bit 0 says checked by a hash, bit 1 that the source is looked at.
        assert file.read_bytes()[4] == 1, file
print("ok")
"""
    assert python(client, made, code) == "ok"


@pytest.mark.bases
def test_the_base_has_what_python_programs_need(client: docker.DockerClient) -> None:
    _, made = built("faq")
    code = """
import ctypes, locale, sqlite3, ssl, sys, zoneinfo
assert ssl.create_default_context().get_ca_certs(), "CA certificates"
assert sqlite3.connect(":memory:").execute("select 1").fetchone() == (1,)
assert zoneinfo.ZoneInfo("Europe/Amsterdam")
assert ctypes.CDLL(None).getpid() > 0
assert sys.getfilesystemencoding() == "utf-8"
assert locale.setlocale(locale.LC_ALL, "C.UTF-8")
print("ok")
"""
    assert python(client, made, code) == "ok"


def test_every_library_is_there_that_another_asks_for(client: docker.DockerClient) -> None:
    _, made = built("triage")
    code = """
import ctypes, importlib, pathlib, sys
# What PEP 600 lets wheels count on, as far as servers use it.
for name in ("libgcc_s.so.1", "libstdc++.so.6", "libm.so.6", "libmvec.so.1", "libdl.so.2",
             "librt.so.1", "libc.so.6", "libnsl.so.1", "libutil.so.1", "libpthread.so.0",
             "libresolv.so.2", "libz.so.1", "libexpat.so.1"):
    if name != "libmvec.so.1" or "x86_64" in sys.implementation._multiarch:
        ctypes.CDLL(name)
folder = next(pathlib.Path(path) for path in sys.path if path.endswith("lib-dynload"))
names = [path.name.split(".")[0] for path in folder.glob("*.so")]
for name in names:
    importlib.import_module(name)
for path in pathlib.Path("/app/packages").rglob("*.so"):
    ctypes.CDLL(str(path))
assert {"_ssl", "_sqlite3", "_ctypes", "_lzma", "_bz2", "_decimal", "_uuid"} <= set(names), names
print("ok")
"""
    assert python(client, made, code) == "ok"


@pytest.mark.bases
def test_what_a_server_imports_is_compiled(client: docker.DockerClient) -> None:
    _, made = built("triage")
    code = """
import pathlib, sys
from promptflow.core._serving.flow_invoker import AsyncFlowInvoker
import azure.identity, openai, openai.resources.chat, openai.resources.embeddings, uvicorn
import promptflow.tools.aoai, promptflow.executor.flow_executor, starlette.applications
openai.AzureOpenAI(api_key="x", azure_endpoint="http://x", api_version="1").chat.completions
found = [m.__file__ for m in list(sys.modules.values())
         if getattr(m, "__cached__", None) and m.__file__.endswith(".py")
         and not pathlib.Path(m.__cached__).exists()]
print(len(sys.modules) > 1000, found)
"""
    assert python(client, made, code) == "True []"


def test_a_base_made_here_has_no_shell_and_no_package_manager(client: docker.DockerClient) -> None:
    _, made = built("faq")
    if not made.base.startswith(f"{base_image.LOCAL_REPOSITORY}:"):
        pytest.skip("the official image was pulled; it has both")
    code = """
import shutil
found = [name for name in ("sh", "bash", "dash", "apt", "apt-get", "dpkg", "tar", "perl", "pip") if shutil.which(name)]
print(found)
"""
    assert python(client, made, code) == "[]"


def test_a_base_made_twice_is_the_same(client: docker.DockerClient, tmp_path: Path) -> None:
    if (
        base_image.find(client, ImageSettings(), ROOT) is None
        or (ROOT / base_image.LOCK_FILE).exists()
    ):
        pytest.skip("the official image was pulled")
    made = base_image.find(client, ImageSettings(), ROOT)
    again = base_image.refresh(client, ImageSettings(), ROOT)
    assert made is not None
    assert again.reference == made.reference, "the tag is a hash of the content"


def test_a_base_that_is_configured_and_cannot_be_had(project: configuration.Project) -> None:
    path = project.root / "flows/hello/deploy.yaml"
    path.write_text(projects.DEPLOY + "image: {base: 'localhost:1/none:1'}\n", encoding="utf-8")
    message = refusal(project)
    start = "base image localhost:1/none:1: the engine cannot reach its registry ("
    assert message.startswith(start)
    assert message.endswith(
        "→ let the engine reach it (a proxy is set on the engine), or set image.base or "
        "FLOW_BASE_IMAGE to a copy on a registry that it reaches"
    )


def test_a_base_of_ones_own(project: configuration.Project, client: docker.DockerClient) -> None:
    found = base_image.find(client, ImageSettings(), ROOT)
    assert found is not None
    client.images.get(found.id).tag("own-base", "1")
    try:
        path = project.root / "flows/hello/deploy.yaml"
        path.write_text(projects.DEPLOY + "image: {base: 'own-base:1'}\n", encoding="utf-8")
        # The store of containerd knows a digest of every image.
        name, _, _ = engine.shorten_reference(build(project).base).partition("@")
        assert name in ("own-base:1", "own-base")
    finally:
        client.images.remove("own-base:1")


def test_a_flow_that_pf_cannot_pack_leaves_the_image_before(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    first = build(project)
    path = project.root / "flows/hello/flow.dag.yaml"
    path.write_text(projects.FLOW.replace("answer.py", "nothing.py"), encoding="utf-8")
    message = refusal(project)
    assert message.startswith("packing hello:")
    assert "nothing.py" in message
    assert "Traceback" not in message
    assert first.reference in engine.list_short_tags(client.images.get(first.id))


BUILDERS = ("command", "engine")


def docker_build_of(client: docker.DockerClient, builder: str, folder: Path, tag: str) -> str:
    """Build `folder` with BuildKit, by the docker command, or with the engine's own builder."""
    platform = engine.native_platform(client)
    if builder == "engine":
        return docker_build.build_with_engine(client, {".": folder}, tag, platform)
    chosen = docker_build.choose_builder(client, engine.find_endpoint())
    if not chosen.command:
        pytest.skip("no docker command here can use BuildKit")
    docker_build.build_with_command(chosen, engine.find_endpoint(), folder, tag, platform)
    return str(client.images.get(tag).id)


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_failing_step_is_named_with_its_last_lines(
    builder: str, client: docker.DockerClient, tmp_path: Path
) -> None:
    found = base_image.find(client, ImageSettings(), ROOT)
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


@pytest.mark.parametrize("builder", BUILDERS)
def test_the_same_context_gives_the_same_image_by_each_builder(
    builder: str, project: configuration.Project, client: docker.DockerClient
) -> None:
    folder = project.root / "context"
    made = resolve_image.build_image(
        project, configuration.load_flow(project, "hello"), context=folder
    )
    tag = f"by-hand-{builder}:1"
    docker_build_of(client, builder, folder, tag)
    try:
        ours, by_hand = client.images.get(made.id).attrs, client.images.get(tag).attrs
        for key in ("User", "Env", "Cmd", "ExposedPorts"):
            assert by_hand["Config"][key] == ours["Config"][key], key
        for label in (labels.FLOW, labels.TAG, f"{labels.OCI_PREFIX}.base.name"):
            assert by_hand["Config"]["Labels"][label] == ours["Config"]["Labels"][label]
        assert not by_hand["Config"].get("Entrypoint")
        code = "import flow_server.serve, sys; print(sys.version_info[:2])"
        assert python(client, replace(made, id=tag), code) == python(client, made, code)
    finally:
        client.images.remove(tag, force=True)


def test_proxies_and_variables_of_this_machine_reach_no_image(
    project: configuration.Project,
    client: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxies = {"default": {"httpProxy": "http://user:secret-of-proxy@127.0.0.1:9"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}), encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("LEAK", "leak-of-machine")
    folder = project.root / "context"
    made = resolve_image.build_image(
        project, configuration.load_flow(project, "hello"), context=folder
    )
    client.images.remove(made.id, force=True)
    made = resolve_image.build_image(project, configuration.load_flow(project, "hello"))
    text = json.dumps([client.images.get(made.id).attrs, client.images.get(made.id).history()])
    assert "secret-of-proxy" not in text
    assert "leak-of-machine" not in text
    docker_build.build_with_engine(client, {".": folder}, "by-engine:proxy")
    text = json.dumps(client.images.get("by-engine:proxy").attrs)
    client.images.remove("by-engine:proxy", force=True)
    assert "secret-of-proxy" not in text


def test_packing_sees_nothing_of_the_user(
    project: configuration.Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEAK", "from-the-machine")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    code = (
        projects.CODE
        + "\nimport os\nassert 'LEAK' not in os.environ and os.environ['HOME'] == '/pack'\n"
    )
    (project.root / "flows/hello/answer.py").write_text(code, encoding="utf-8")
    assert build(project).tag
    assert not (tmp_path / "home/.promptflow").exists()


def test_a_source_that_must_be_compiled_for_the_platform_is_refused(
    project: configuration.Project,
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
    found = base_image.find(client, ImageSettings(), ROOT)
    assert found is not None
    lock = f"needs-compiling==1.0 --hash=sha256:{digest}\n"
    with pytest.raises(DeployError) as caught:
        packages.ensure_folder(client, found, lock, "3.11", "linux/amd64")
    assert str(caught.value) == (
        "packages: published as source only, with parts to compile for linux/amd64: needs_compiling-1.0\n"
        "  → use a version that has a wheel, or publish one to your package index"
    )


def test_another_platform_is_built_without_emulation(
    project: configuration.Project, client: docker.DockerClient
) -> None:
    native = engine.native_platform(client)
    other = "linux/arm64" if native == "linux/amd64" else "linux/amd64"
    flow = configuration.load_flow(project, "hello")
    foreign = replace(flow, image=replace(flow.image, platform=other))
    made = flow_image.build(client, foreign, project.root, engine.find_endpoint())
    attributes = client.images.get(made.id).attrs
    assert f"{attributes['Os']}/{attributes['Architecture']}" == other
    container = client.containers.create(made.id)
    try:
        chunks, _ = container.get_archive("/app/packages/rpds")
        names = [part for part in b"".join(chunks).split(b"\0") if part.endswith(b".so")]
        assert any({"linux/arm64": b"aarch64", "linux/amd64": b"x86_64"}[other] in n for n in names)
    finally:
        container.remove()
