"""An image that another client pushed under the tag of a flow: used only if the files build the same image."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from deploy.build import docker_build, flow_image
from deploy.config import configuration
from deploy.core import git
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.delivery import image_reference, pipeline, resolve_image
from deploy.docker import engine, isolated, tar_files
from deploy.registry import push
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.supply_chain.image_verification import records
from tests import fake_secrets
from tests.integration.azure_fixtures import SignIn
from tests.integration.registry_project import attached, publish, spec, where, with_places

pytestmark = pytest.mark.usefixtures("documents_once")

SECRET = fake_secrets.SECRETS["a GitHub token"]
Change = Callable[[Path], None]
Plant = Callable[[Change], Image]

# What another machine's compiler may write for the same source: no reference is shared.
REWRITE = """
import marshal, pathlib
for path in pathlib.Path("/app").rglob("*.pyc"):
    content = path.read_bytes()
    target = pathlib.Path("/out", path.relative_to("/app"))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content[:16] + marshal.dumps(marshal.loads(content[16:]), 2))
"""


@pytest.fixture
def two(
    project: configuration.Project,
    azure: Azure,
    acr: Acr,
    production_acr: Acr,
    folder: str,
    sign_in: SignIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> configuration.Project:
    """The small project with two environments, on a machine that has verified nothing yet."""
    sign_in(azure.identity("ci", crflows=["AcrPush"], crproduction=["AcrPush"]))
    monkeypatch.setattr(records, "VERIFIED", str(tmp_path / "verified"))
    places = {"dev": azure.place(acr, folder), "prod": azure.place(production_acr, folder)}
    return with_places(project, places)


@pytest.fixture
def plant(
    two: configuration.Project, client: docker.DockerClient, tmp_path: Path
) -> Iterator[Plant]:
    """Push an image with the flow's labels and tag, made of its context with a change."""
    made: list[str] = []

    def planted(change: Change) -> Image:
        flow = spec(two).flow
        ours = resolve_image.build_image(two, flow, context=tmp_path / "ours")
        # A real copy: files of a context are linked to this machine's cache.
        shutil.copytree(tmp_path / "ours", tmp_path / "theirs")
        change(tmp_path / "theirs")
        reference = f"planted:{uuid.uuid4().hex}"
        endpoint = engine.find_endpoint()
        docker_build.build(client, endpoint, tmp_path / "theirs", reference, ours.platform)
        made.append(reference)
        there = where(two)
        push.push(client, reference, there.registry, there.name, ours.tag)
        found = there.find(flow, ours.tag)
        assert found
        return found

    yield planted
    for reference in made:
        client.images.remove(reference, force=True)


def append(path: str, text: str) -> Change:
    """Return a change that adds `text` to a file of a context, or makes one."""

    def change(context: Path) -> None:
        with (context / path).open("a", encoding="utf-8") as file:
            file.write(text)

    return change


def replace_bytecode(context: Path) -> None:
    """Put the bytecode of another module in the place of the server's; the source stays."""
    folder = context / "app/flow_server/__pycache__"
    (wanted,) = folder.glob("app.*.pyc")
    (other,) = folder.glob("limits.*.pyc")
    # With the right hash of the source.
    wanted.write_bytes(wanted.read_bytes()[:16] + other.read_bytes()[16:])


def set_command(context: Path) -> None:
    file = context / "Dockerfile"
    file.write_text(re.sub("CMD .*", 'CMD ["sh"]', file.read_text("utf-8")), encoding="utf-8")


ATTACKS: dict[str, tuple[Change, str]] = {
    "server": (
        append("app/flow_server/app.py", "\nimport os\n"),
        "/app/flow_server/app.py: different content",
    ),
    "bytecode": (replace_bytecode, "/app/flow_server/__pycache__/app.cpython-"),
    "site": (
        append("app/sitecustomize.py", ""),
        "/app/sitecustomize.py: only in the registry's image",
    ),
    "package": (
        append("packages/lunr/__init__.py", "\n"),
        "/app/packages/lunr/__init__.py: different",
    ),
    "command": (set_command, "configuration: Cmd"),
}


# The others are found in the same way.
SLOW = ("bytecode", "site", "package")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in ATTACKS],
)
def test_a_foreign_image_under_the_tag_is_rejected(
    name: str, two: configuration.Project, plant: Plant, acr: Acr, client: docker.DockerClient
) -> None:
    change, difference = ATTACKS[name]
    found = plant(change)
    acr.server.reset()
    for action in (publish, lambda project: pipeline.deploy(project, spec(project))):
        with pytest.raises(DeployError) as caught:
            action(two)
        message = str(caught.value)
        assert difference in message
        assert found.tag in message and str(found.digest) in message
        assert "delete that tag" in message and "--trust-registry" in message
    # Nothing vouches for it, nothing was pushed, and nothing runs.
    assert attached(two, "dev", found.digest) == set()
    assert not acr.server.requests("PUT|PATCH|DELETE", "/v2/")
    assert not (two.root / ".artifacts/hello.json").exists()
    assert pipeline.status(spec(two)) is None


def test_the_same_content_of_another_machine_is_used(
    two: configuration.Project,
    plant: Plant,
    acr: Acr,
    client: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rewrite(context: Path) -> None:
        about = context / "app/about.json"
        content = json.loads(about.read_text("utf-8"))
        reference = f"hello:{content['tag']}"
        empty = tar_files.pack({"out/.keep": b""})
        command = ["python3", "-c", REWRITE]
        result = isolated.run(client, reference, command, empty, "/out", {}, "compiling anew")
        with result:
            tar_files.unpack(result, context / "anew", "compiling anew")
        rewritten = list((context / "anew").rglob("*.pyc"))
        assert len(rewritten) > 500
        for path in rewritten:
            relative = path.relative_to(context / "anew")
            is_package = relative.parts[0] == "packages"
            target = context / (relative if is_package else "app" / relative)
            assert target.exists(), target
            target.unlink()
            target.write_bytes(path.read_bytes())
        shutil.rmtree(context / "anew")
        content["commit"] = "another"
        content["built_with"]["docker"] = "99"
        about.write_text(json.dumps(content), encoding="utf-8")

    found = plant(rewrite)
    planned = pipeline.plan(two, spec(two))
    assert "not verified on this machine" in planned.steps[0].why
    assert publish(two) == found
    assert len(attached(two, "dev", found.digest)) == 3
    acr.server.reset()
    # From now on it is known: nothing is built, nor downloaded.
    monkeypatch.setattr(flow_image, "build", lambda *_: pytest.fail("it was built"))
    assert publish(two) == found
    assert acr.downloaded_bytes < 20_000
    assert "not verified" not in pipeline.plan(two, spec(two)).steps[0].why


def with_secret(context: Path) -> None:
    """Add a label that is not compared."""
    file = context / "Dockerfile"
    line = f'LABEL org.opencontainers.image.source="{SECRET}"\n'
    file.write_text(file.read_text("utf-8") + line, encoding="utf-8")


@pytest.mark.parametrize("by", ["tag", "file"])
def test_images_pushed_by_others_are_scanned(
    by: str, two: configuration.Project, plant: Plant
) -> None:
    found = plant(with_secret)
    handed = image_reference.write(two.root, "hello", found, git.read_commit(two.root))
    with pytest.raises(DeployError) as caught:
        pipeline.deploy(two, spec(two), handed if by == "file" else None)
    assert "label org.opencontainers.image.source" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert attached(two, "dev", found.digest) == set()


def test_a_team_may_trust_its_registry(
    two: configuration.Project, plant: Plant, capfd: pytest.CaptureFixture[str]
) -> None:
    found = plant(append("app/extra.txt", "of a colleague"))
    assert resolve_image.publish_image(two, spec(two), trust_registry=True) == found
    assert "is not verified (--trust-registry)" in capfd.readouterr().err
    # Not by us.
    assert attached(two, "dev", found.digest) == set()


def test_a_running_image_is_promoted_only_if_verified(
    two: configuration.Project, plant: Plant
) -> None:
    found = plant(append("app/extra.txt", "planted"))
    try:
        deployed = pipeline.deploy(two, spec(two), trust_registry=True)
        assert deployed.digest == found.digest
        with pytest.raises(DeployError, match=r"/app/extra\.txt: only in the registry's image"):
            pipeline.promote(spec(two, "dev"), spec(two, "prod"), two)
        prod = where(two, "prod")
        assert prod.registry.get_manifest(prod.repository, found.digest or "") is None
        promoted = pipeline.promote(spec(two, "dev"), spec(two, "prod"), two, trust_registry=True)
        assert promoted.digest == found.digest
    finally:
        pipeline.destroy(spec(two))


def test_a_running_image_of_other_files_cannot_be_compared(
    two: configuration.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        pipeline.deploy(two, spec(two))
        path = two.root / "flows/hello/answer.py"
        path.write_text(path.read_text("utf-8") + "# later\n", encoding="utf-8")
        monkeypatch.setattr(records, "VERIFIED", str(tmp_path / "elsewhere"))
        with pytest.raises(DeployError, match="pass the file of that push with --image"):
            pipeline.promote(spec(two, "dev"), spec(two, "prod"), two)
    finally:
        pipeline.destroy(spec(two))
