"""The secret scan before a push, on images of a real engine: what is planted is found, the flows pass.

Every kind of secret in every place is in tests/unit/supply_chain/test_secret_scan.py, on images that no engine made. Here
the engine makes the layers, the history, the variables and the labels.
"""

from __future__ import annotations

import base64
import bz2
import contextlib
import io
import json
import lzma
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import docker.errors
import pytest

from deploy.build import base_image, docker_build, flow_image
from deploy.config import configuration
from deploy.config.configuration import Project
from deploy.core.entities import AllowedSecret, Flow, ImageSettings
from deploy.core.errors import DeployError
from deploy.docker import engine, image_archive
from deploy.docker.image_archive import ImageArchive
from deploy.supply_chain import inspection
from deploy.supply_chain.secret_scan import known_secrets, scanner
from tests import fake_secrets, projects
from tests.integration.conftest import built
from tests.projects import FIXTURE

KEY = fake_secrets.text(fake_secrets.LETTERS, 84)
ENV = {".env": f"AI_API_KEY={KEY}\nAI_ENDPOINT=https://contoso-gate.openai.azure.com/\n"}
# Workers make one each, at the same time.
NAME = f"gate-test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base is the same in all images: it is searched once, as on a real machine."""
    return tmp_path_factory.mktemp("gate")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return projects.make(tmp_path, ENV)


@pytest.fixture
def flow(project: Project) -> Flow:
    return configuration.load_flow(project, "hello")


@pytest.fixture(scope="module")
def planted(client: docker.DockerClient) -> Iterator[ImageArchive]:
    """An image on the base with every secret in five places; the file is deleted above its layer."""
    found = base_image.find(client, ImageSettings(), FIXTURE)
    assert found is not None
    secrets = [*fake_secrets.SECRETS.values(), KEY]
    text = "\n".join(secrets)
    variables = " ".join(f"PLANTED_{n}={json.dumps(text)}" for n, text in enumerate(secrets))
    labels = " ".join(f"planted.{n}={json.dumps(text)}" for n, text in enumerate(secrets))
    remove = json.dumps(["python3", "-c", "import os; os.remove('/app/flow/gone.md')"])
    recipe = (
        f"FROM {found.reference}\nCOPY flow/ /app/flow/\nENV {variables}\nLABEL {labels}\n"
        f"RUN {remove}\n"
    )
    content: dict[str, Path | bytes] = {f"flow/{n}.md": text.encode() for n in ("kept", "gone")}
    content |= {f"flow/{name}": data for name, data in _hidden(text.encode()).items()}
    above = docker_build.build_with_engine(
        client, {"Dockerfile": recipe.encode(), **content}, f"{NAME}:above"
    )
    container = client.containers.create(above, ["python3"])
    try:
        whole = container.commit(NAME, "whole", message=text)
    finally:
        container.remove()
    try:
        with image_archive.save_image(client, str(whole.id)) as files:
            yield files
    finally:
        for tag in ("whole", "above"):
            client.images.remove(f"{NAME}:{tag}", force=True)


def _hidden(text: bytes) -> dict[str, bytes]:
    """Return files that hold `text`, none of them as it stands, by their names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", text)
    return {
        "little.txt": text.decode().encode("utf-16-le"),
        "marked.txt": text.decode().encode("utf-16"),
        "wrapped.txt": base64.encodebytes(text),
        "letter.docx": buffer.getvalue(),
        "notes.xz": lzma.compress(text),
        "notes.bz2": bz2.compress(text),
    }


@pytest.mark.bases
def test_encoded_secrets_are_found(
    planted: ImageArchive, project: Project, flow: Flow, cache: Path
) -> None:
    found = refusal(planted, flow, known_secrets.collect_secrets(project), cache).splitlines()[::2]
    for name in _hidden(b""):
        kinds = {line.rpartition("looks like ")[2] for line in found if f"/app/flow/{name}" in line}
        assert set(fake_secrets.SECRETS) <= kinds, name
        of_value = f"/app/flow/{name}"
        assert [line for line in found if line.startswith(of_value) and "AI_API_KEY" in line], name


def refusal(files: ImageArchive, flow: Flow, hidden: dict[str, str], cache: Path) -> str:
    with pytest.raises(DeployError) as caught:
        scanner.refuse_secrets(files, flow, hidden, cache)
    return str(caught.value)


@pytest.mark.bases
def test_each_secret_is_found_in_each_place(
    planted: ImageArchive, project: Project, flow: Flow, cache: Path
) -> None:
    message = refusal(planted, flow, known_secrets.collect_secrets(project), cache)
    found = [line for line in message.splitlines() if not line.startswith("  →")]
    told = {
        rule: sorted(
            {line.split(":")[0].split(",")[0] for line in found if line.endswith(f" {rule}")}
        )
        for rule in (*fake_secrets.SECRETS, "the value of AI_API_KEY")
    }
    layers, history = len(planted.layers), len(planted.config["history"])
    for number, (rule, places) in enumerate(told.items()):
        expected = [
            # In the layer below, and gone from the one above.
            f"/app/flow/gone.md (layer {layers - 1})",
            f"/app/flow/kept.md (layer {layers - 1})",
            f"history line {history}",
            f"label planted.{number}",
            f"variable PLANTED_{number}",
        ]
        assert [place for place in expected if place not in places] == [], rule
    assert not [secret for secret in (*fake_secrets.SECRETS.values(), KEY) if secret in message]


def test_exceptions_apply_to_patterns_and_never_to_known_secrets(
    planted: ImageArchive, project: Project, flow: Flow, cache: Path
) -> None:
    exceptions = [
        AllowedSecret("*", rule, "made up for this test") for rule in fake_secrets.SECRETS
    ]
    allowed = replace(flow, allow_secrets=tuple(exceptions))
    with planted.layers[-1].open() as last:
        assert "app/flow/.wh.gone.md" in last.getnames()
    scanner.refuse_secrets(planted, allowed, {}, cache)
    message = refusal(planted, allowed, known_secrets.collect_secrets(project), cache)
    places = [line.split(":")[0] for line in message.splitlines()[::2]]
    number = len(fake_secrets.SECRETS)
    assert {f"variable PLANTED_{number}", f"label planted.{number}"} < set(places)
    assert message.count("this contains the value of AI_API_KEY") == len(places)


@pytest.mark.parametrize("name", ["faq", "chat"])
def test_the_flows_pass_without_exceptions(
    name: str, client: docker.DockerClient, project: Project, cache: Path
) -> None:
    flow, made = built(name)
    assert flow.allow_secrets == ()
    with image_archive.save_image(client, made.id) as files:
        scanner.refuse_secrets(files, flow, known_secrets.collect_secrets(project), cache)


@pytest.fixture(scope="module", params=["official_python", "distroless_python"])
def base(request: pytest.FixtureRequest, client: docker.DockerClient) -> Iterator[ImageArchive]:
    """A base image as users have it, with all of Debian's own files."""
    reference = request.getfixturevalue(request.param)
    client.images.pull(reference)
    with image_archive.save_image(client, reference, "linux/amd64") as files:
        yield files
    # Another test may be done with the same base.
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.images.remove(reference, force=True)


def test_a_base_of_a_distribution_passes_without_exceptions(
    base: ImageArchive, flow: Flow, tmp_path: Path
) -> None:
    for _ in ("searched", "remembered"):
        scanner.refuse_secrets(base, flow, {}, tmp_path / "outlines")
    assert len(list((tmp_path / "outlines").iterdir())) == len(base.layers)


def test_a_flow_on_an_official_base_passes_and_its_layers_are_named(
    client: docker.DockerClient,
    official_python: str,
    project: Project,
    cache: Path,
) -> None:
    flow = configuration.load_flow(configuration.open_project(FIXTURE), "faq")
    flow = replace(flow, image=replace(flow.image, base=official_python))
    made = flow_image.build(client, flow, FIXTURE, engine.find_endpoint())
    try:
        with image_archive.save_image(client, made.id, made.platform) as files:
            scanner.refuse_secrets(files, flow, known_secrets.collect_secrets(project), cache)
        names = [layer.what for layer in inspection.inspect(client, made).layers]
        own = ["standard library bytecode", "packages", "server and flow"]
        assert names == ["base"] * 4 + own
    finally:
        client.images.remove(made.id, force=True)
        client.images.remove(official_python, force=True)


def test_values_are_found_in_files_of_the_distribution(
    base: ImageArchive, flow: Flow, cache: Path
) -> None:
    # In the configuration of OpenSSL, which is a file of its package.
    message = refusal(base, flow, {"SOME_KEY": "tsa_policy1 = 1.2.3.4.1"}, cache)
    assert "/openssl.cnf (layer " in message
    assert "this contains the value of SOME_KEY" in message


def test_a_file_of_the_flow_that_holds_a_value_stops_the_push(
    client: docker.DockerClient, project: Project, cache: Path
) -> None:
    """The whole way: a key in the flow's code, built as any flow is."""
    for name in ("requirements.txt", "requirements.lock"):
        text = (FIXTURE / "flows/faq" / name).read_text(encoding="utf-8")
        (project.root / "flows/hello" / name).write_text(text, encoding="utf-8")
    code = f'{projects.CODE}\nKEY = "{KEY}"\n'
    (project.root / "flows/hello/answer.py").write_text(code, encoding="utf-8")
    flow = configuration.load_flow(project, "hello")
    made = flow_image.build(client, flow, project.root, engine.find_endpoint())
    try:
        with image_archive.save_image(client, made.id) as files:
            message = refusal(files, flow, known_secrets.collect_secrets(project), cache)
            number = len(files.layers)
        places = [line.split(":")[0].split(" ")[0] for line in message.splitlines()[::2]]
        # Its bytecode, too.
        assert len(places) == 2
        assert places[0].startswith("/app/flow/") and "__pycache__" in message
        line = code[: code.index(KEY)].count("\n") + 1
        assert (
            f"/app/flow/answer.py (layer {number}), line {line}: this contains the value of AI_API_KEY"
            in message
        )
    finally:
        client.images.remove(made.id, force=True)
