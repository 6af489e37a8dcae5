"""Publishing a real image to a real registry behind Azure's tokens."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any

import docker
import docker.errors
import pytest
import requests

from deploy.build import flow_image
from deploy.config import configuration
from deploy.core import http_requests, progress
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.delivery import image_reference, pipeline, publication, resolve_image
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import Identity
from deploy.sandbox.registry import RegistryProcess
from tests.integration import local_project
from tests.integration.azure_fixtures import LogIn, RunAs
from tests.integration.publishing import attached, change, publish, spec, where, with_places

pytestmark = pytest.mark.usefixtures("documents_once")

TYPES = {
    "application/vnd.cyclonedx+json",
    "application/spdx+json",
    "application/vnd.in-toto+json",
}


@pytest.fixture
def pusher(azure: Azure, log_in: LogIn) -> Identity:
    """Be somebody who may push to both registries."""
    identity = azure.identity("ci", crflows=["AcrPush"], crproduction=["AcrPush"])
    log_in(identity)
    return identity


@pytest.fixture
def cloud_project(
    project: configuration.Project, azure: Azure, acr: Acr, production_acr: Acr, folder: str
) -> configuration.Project:
    """The small project, with an environment for each of the two registries."""
    places = {"dev": azure.place(acr, folder), "prod": azure.place(production_acr, folder)}
    return with_places(project, places)


@pytest.fixture
def fresh_acr(azure: Azure, project: configuration.Project, folder: str, pusher: Identity) -> Acr:
    """An empty registry, to which every layer must be sent: `dev` of the project."""
    name = f"cr{folder.replace('-', '')}"
    fresh = azure.registry(name)
    with_places(project, {"dev": azure.place(fresh)})
    pusher.assign_roles(name, "AcrPush")
    return fresh


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a tenth of the time before another attempt."""
    monkeypatch.setattr(http_requests, "BACK_OFF", 0.05)


def pushes(acr: Acr) -> list[str]:
    """Return the requests that changed something in the registry."""
    return [
        f"{seen.method} {seen.path}" for seen in acr.server.requests("PUT|PATCH|DELETE", "/v2/")
    ]


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
        flow_image.read_commit(cloud_project.root),
    )
    assert file.pinned == published.pinned == f"{there.name}@{published.digest}"


@pytest.mark.bases
def test_what_is_there_is_neither_built_nor_pushed(
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


def test_a_missing_role_is_named_with_who_lacks_it(
    cloud_project: configuration.Project, azure: Azure, acr: Acr, log_in: LogIn
) -> None:
    reader = azure.identity("reader", crflows=["AcrPull"])
    log_in(reader)
    with pytest.raises(DeployError) as caught:
        publish(cloud_project)
    assert "the role AcrPush is missing" in str(caught.value)
    assert reader.client_id in str(caught.value)
    assert acr.login_server in str(caught.value)
    assert pushes(acr) == []


def test_a_role_to_read_is_missing(
    cloud_project: configuration.Project, azure: Azure, log_in: LogIn
) -> None:
    log_in(azure.identity("nobody"))
    with pytest.raises(DeployError, match="the role AcrPull is missing"):
        publish(cloud_project)


def test_tokens_that_run_out_in_the_middle_are_renewed(
    project: configuration.Project, pusher: Identity, fresh_acr: Acr
) -> None:
    done = threading.Event()

    def expire() -> None:
        # Docker's classic store sends a layer in parts, that of containerd in one request.
        sent = ("PATCH|PUT", "/blobs/uploads/")
        while not fresh_acr.server.requests(*sent) and not done.wait(0.01):
            pass
        fresh_acr.expire_tokens()

    thread = threading.Thread(target=expire)
    thread.start()
    try:
        published = publish(project)
    finally:
        done.set()
        thread.join()
    assert [
        seen for seen in fresh_acr.server.requests("PUT|PATCH|POST", "/v2/") if seen.status == 401
    ]
    assert attached(project, "dev", published.digest) == TYPES


def test_a_connection_that_is_cut_in_the_middle_of_a_layer(
    project: configuration.Project, pusher: Identity, fresh_acr: Acr
) -> None:
    fresh_acr.server.faults.cut_upload(3_000_000)
    published = publish(project)
    assert fresh_acr.server.faults.has_injected_all
    assert where(project).find(spec(project).flow, published.tag) == published


def test_a_busy_registry_is_asked_again(
    cloud_project: configuration.Project, acr: Acr, pusher: Identity
) -> None:
    acr.server.faults.answer(503, times=2, path="/manifests/")
    acr.server.faults.answer(429, retry_after="1", path="/oauth2/exchange")
    publish(cloud_project)
    assert acr.server.faults.has_injected_all


def test_an_interrupted_push_is_completed(
    cloud_project: configuration.Project,
    acr: Acr,
    pusher: Identity,
    client: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(publication, "_push_attachments", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            publish(cloud_project)
    found = where(cloud_project).find(spec(cloud_project).flow, _tag(cloud_project))
    assert found
    assert attached(cloud_project, "dev", found.digest) == set()
    assert publish(cloud_project) == found
    assert attached(cloud_project, "dev", found.digest) == TYPES


def test_documents_are_completed_by_a_machine_that_has_not_built_it(
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
        there = where(cloud_project)
        results.append(
            publication.push_image(
                client, there, spec(cloud_project).flow, built, {}, cloud_project.root
            )
        )

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


def test_a_tag_with_other_content_is_left_as_it_is(
    cloud_project: configuration.Project, acr: Acr, pusher: Identity
) -> None:
    published = publish(cloud_project)
    there = where(cloud_project)
    stranger = there.registry.get_manifest(there.repository, published.tag)
    change(cloud_project, "# other content")
    assert stranger
    there.registry.put_manifest(there.repository, _tag(cloud_project), stranger)
    with pytest.raises(DeployError, match="is no image of the flow hello with this content"):
        publish(cloud_project)
    kept = there.registry.get_manifest(there.repository, _tag(cloud_project))
    assert kept == stranger


def test_a_registry_that_is_down(
    cloud_project: configuration.Project, acr: Acr, pusher: Identity
) -> None:
    with acr.outage(), pytest.raises(DeployError, match="it cannot be reached"):
        publish(cloud_project)


def test_a_certificate_that_nobody_vouches_for(
    cloud_project: configuration.Project,
    azure: Azure,
    acr: Acr,
    pusher: Identity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(azure.stranger.bundle))
    there = where(cloud_project)
    with pytest.raises(DeployError, match="its certificate is not trusted"):
        there.registry.get_manifest(there.repository, "latest")


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


def test_an_environment_without_a_registry(project: configuration.Project) -> None:
    with pytest.raises(DeployError, match="the environment has no registry"):
        resolve_image.publish_image(project, local_project.spec(project))


def test_no_token_is_said_or_kept(
    cloud_project: configuration.Project,
    acr: Acr,
    pusher: Identity,
    capfd: pytest.CaptureFixture[str],
) -> None:
    publish(cloud_project)
    said = "".join(capfd.readouterr())
    files = [p for p in (cloud_project.root / ".artifacts").rglob("*") if p.is_file()]
    written = "".join(path.read_text("utf-8") for path in files)
    assert "hello.json" in said
    assert "eyJ" not in said + written


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


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"digest": f"sha256:{'0' * 64}"}, "is not there"),
        ({"tag": "0" * 12}, "which the file does not say"),
    ],
)
def test_a_file_that_the_registry_does_not_bear_out_is_refused(
    cloud_project: configuration.Project,
    acr: Acr,
    pusher: Identity,
    lie: dict[str, Any],
    reason: str,
) -> None:
    publish(cloud_project)
    handed = cloud_project.root / ".artifacts/hello.json"
    handed.write_text(json.dumps({**json.loads(handed.read_text("utf-8")), **lie}), "utf-8")
    with pytest.raises(DeployError, match=reason):
        pipeline.deploy(cloud_project, spec(cloud_project), handed)


def _tag(project: configuration.Project) -> str:
    with progress.log_prefix("hello"):
        return resolve_image.find_content_tag(spec(project).flow, project.root)[1]


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


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
