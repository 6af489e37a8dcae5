"""Publishing a real image to a real registry behind Azure's tokens."""

from __future__ import annotations

import contextlib
import threading

import docker
import docker.errors
import pytest
import requests

from deploy.build import flow_image
from deploy.config import configuration
from deploy.core import git
from deploy.core.entities import Image
from deploy.delivery import image_reference, pipeline, publication, resolve_image
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import Identity
from deploy.sandbox.registry import RegistryProcess
from tests.integration.azure_fixtures import RunAs
from tests.integration.pushes import TYPES, pushes
from tests.integration.registry_project import attached, change, publish, spec, where, with_places

pytestmark = pytest.mark.usefixtures("documents_once", "short_back_off")


def forget(client: docker.DockerClient, published: Image) -> None:
    """Let the engine lose an image under every name that it has there."""
    local, remote = f"hello:{published.tag}", f"{published.repository}:{published.tag}"
    for name in (published.pinned, remote, local):
        # The store of containerd may have lost this name with another; podman lists digests that it
        # does not know as names.
        with contextlib.suppress(docker.errors.APIError):
            client.images.remove(name, force=True)


@pytest.mark.bases
def test_an_image_is_published_with_its_documents(
    cloud_project: configuration.Project, acr: Acr, pusher: Identity
) -> None:
    published = publish(cloud_project)
    there = where(cloud_project)
    assert published.repository == there.name
    assert published == there.find(spec(cloud_project).flow, published.tag)
    assert attached(cloud_project, "dev", published.digest) == TYPES
    file = image_reference.read(
        cloud_project.root / ".artifacts/hello.json",
        "hello",
        git.read_commit(cloud_project.root),
    )
    assert (
        f"{file.repository}@{file.digest}" == published.pinned == f"{there.name}@{published.digest}"
    )


@pytest.mark.bases
def test_an_existing_image_is_neither_built_nor_pushed(
    cloud_project: configuration.Project,
    acr: Acr,
    pusher: Identity,
    client: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = publish(cloud_project)
    acr.server.reset()
    monkeypatch.setattr(flow_image, "build", lambda *_: pytest.fail("it was built"))
    assert publish(cloud_project) == first
    assert pushes(acr) == []
    assert acr.uploaded_bytes == 0
    # Log-in, the image by its tag with its configuration, its documents.
    assert len(acr.server.requests(".*", ".*")) <= 8


@pytest.mark.alone  # A build of the same packages beside it makes layers of its own, which may be reused.
def test_a_changed_line_sends_kilobytes(
    cloud_project: configuration.Project, acr: Acr, pusher: Identity
) -> None:
    publish(cloud_project)
    acr.server.reset()
    change(cloud_project, "# changed")
    published = publish(cloud_project)
    there = where(cloud_project)
    manifest = there.registry.get_manifest(there.repository, published.tag)
    assert manifest
    size = sum(layer["size"] for layer in manifest.data["layers"])
    # Layers and documents; the latter are about the same size each time.
    assert 0 < acr.uploaded_bytes < size / 20


def test_documents_are_completed_by_another_machine(
    cloud_project: configuration.Project, acr: Acr, pusher: Identity, client: docker.DockerClient
) -> None:
    published = publish(cloud_project)
    acr.referrers.clear()
    forget(client, published)
    assert publish(cloud_project) == published
    assert attached(cloud_project, "dev", published.digest) == TYPES


def test_two_pushes_of_the_same_content_at_once(
    cloud_project: configuration.Project, acr: Acr, pusher: Identity, client: docker.DockerClient
) -> None:
    # Two machines build the same content to images that differ in the time they were made.
    one = resolve_image.build_image(cloud_project, spec(cloud_project).flow)
    client.images.get(one.id).tag("hello", "one")
    client.images.remove(one.reference, noprune=True)
    other = resolve_image.build_image(cloud_project, spec(cloud_project).flow)
    assert (one.tag, one.id != other.id) == (other.tag, True)
    start = threading.Barrier(2)
    results: list[Image] = []

    def push(built: Image) -> None:
        start.wait()
        target = publication.open_publication(cloud_project, spec(cloud_project))
        results.append(target.push_image(client, built))

    threads = [threading.Thread(target=push, args=(built,)) for built in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.images.remove("hello:one", force=True)
    assert len(results) == 2
    for published in results:
        assert where(cloud_project).find(spec(cloud_project).flow, published.digest or "")
        assert attached(cloud_project, "dev", published.digest) == TYPES


def test_a_registry_without_the_referrers_api_lists_documents_under_a_tag(
    project: configuration.Project, plain_registry: RegistryProcess, folder: str
) -> None:
    place = {"registry": f"{plain_registry.name}/{folder}"}
    published = publish(with_places(project, {"dev": place}))
    assert attached(project, "dev", published.digest) == TYPES
    there = where(project)
    tag = (published.digest or "").replace(":", "-")
    index = there.registry.get_manifest(there.repository, tag)
    assert index
    assert {entry["artifactType"] for entry in index.data["manifests"]} == TYPES


def test_no_token_is_printed_or_stored(
    cloud_project: configuration.Project,
    acr: Acr,
    pusher: Identity,
    capfd: pytest.CaptureFixture[str],
) -> None:
    publish(cloud_project)
    printed = "".join(capfd.readouterr())
    files = [p for p in (cloud_project.root / ".artifacts").rglob("*") if p.is_file()]
    written = "".join(path.read_text("utf-8") for path in files)
    assert "hello.json" in printed
    assert "eyJ" not in printed + written


@pytest.mark.bases
def test_a_deploy_publishes_and_runs_that_very_digest(
    cloud_project: configuration.Project, acr: Acr, pusher: Identity, client: docker.DockerClient
) -> None:
    planned = pipeline.plan(cloud_project, spec(cloud_project))
    assert [step.action for step in planned.steps] == ["create", "create"]
    assert pushes(acr) == []
    try:
        done = pipeline.deploy(cloud_project, spec(cloud_project))
        found = where(cloud_project).find(spec(cloud_project).flow, done.tag)
        assert found
        assert done.digest == found.digest
        container = client.containers.get(done.name)
        assert container.attrs["Config"]["Image"] == found.pinned
        answer = requests.post(f"{done.url}/score", json={"question": "why?"}, timeout=30).json()
        assert answer["answer"]
        again = pipeline.plan(cloud_project, spec(cloud_project))
        assert not again.has_changes
    finally:
        pipeline.destroy(spec(cloud_project))


def test_a_file_of_a_push_is_deployed_without_a_build(
    cloud_project: configuration.Project,
    acr: Acr,
    pusher: Identity,
    client: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published = publish(cloud_project)
    forget(client, published)
    monkeypatch.setattr(flow_image, "build", lambda *_: pytest.fail("it was built"))
    handed = cloud_project.root / ".artifacts/hello.json"
    try:
        done = pipeline.deploy(cloud_project, spec(cloud_project), handed)
        assert done.digest == published.digest
    finally:
        pipeline.destroy(spec(cloud_project))


@pytest.mark.parametrize("system", ["github", "azure_pipelines"])
def test_a_job_of_ci_publishes_and_plans_with_its_own_token(
    system: str, azure: Azure, run_as: RunAs, cloud_project: configuration.Project
) -> None:
    job = azure.identity("job", crflows=["AcrPush"])
    run_as(getattr(azure.job_tokens, system)(job))
    image = publish(cloud_project)
    planned = pipeline.plan(cloud_project, spec(cloud_project))
    assert planned.image.digest == image.digest
    (asked,) = azure.job_tokens.server.seen
    assert asked.status == 200
