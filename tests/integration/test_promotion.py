"""The very same digest from one environment's registry to another's."""

from __future__ import annotations

import io
from dataclasses import replace

import docker
import pytest

from deploy.config import configuration
from deploy.core import git
from deploy.core.entities import Image
from deploy.core.errors import DeployError
from deploy.delivery import image_reference, pipeline
from deploy.registry import image_repository, manifests
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import Identity
from deploy.sandbox.registry import RegistryProcess
from tests.integration.azure_fixtures import SignIn
from tests.integration.registry_project import change, publish, spec, where, with_places

pytestmark = pytest.mark.usefixtures("documents_once")

IMPORTER = "Container Registry Data Importer and Data Reader"


@pytest.fixture
def promoter(azure: Azure, sign_in: SignIn) -> Identity:
    """Act as an identity that may push to both registries and import between them."""
    identity = azure.identity("ci", crflows=["AcrPush", "Reader"])
    identity.assign_roles("crproduction", "AcrPush", IMPORTER)
    sign_in(identity)
    return identity


@pytest.fixture
def two(
    project: configuration.Project, azure: Azure, acr: Acr, production_acr: Acr, folder: str
) -> configuration.Project:
    """The small project with a registry for dev, and another for prod."""
    places = {"dev": azure.place(acr, folder), "prod": azure.place(production_acr, folder)}
    return with_places(project, places)


def promote(project: configuration.Project) -> Image:
    handed = project.root / ".artifacts/hello.json"
    return pipeline.promote(spec(project, "dev"), spec(project, "prod"), project, handed)


def documents(at: image_repository.ImageRepository, digest: str | None) -> set[str]:
    return {
        str(entry["digest"]) for entry in at.registry.list_referrers(at.repository, digest or "")
    }


def check(project: configuration.Project, published: Image, promoted: Image) -> None:
    """The same bytes at both ends, with their documents, and the next step's file says so."""
    dev, prod = where(project, "dev"), where(project, "prod")
    there = dev.registry.get_manifest(dev.repository, published.digest or "")
    assert there
    assert prod.registry.get_manifest(prod.repository, promoted.digest or "") == there
    assert prod.registry.get_manifest(prod.repository, promoted.tag) == there
    found = documents(dev, published.digest)
    assert len(found) == 3
    assert documents(prod, promoted.digest) == found
    handed = image_reference.read(
        project.root / ".artifacts/hello.json", "hello", git.read_commit(project.root)
    )
    assert (
        f"{handed.repository}@{handed.digest}"
        == promoted.pinned
        == f"{prod.name}@{published.digest}"
    )


def test_azure_copies_between_its_registries(
    two: configuration.Project, azure: Azure, acr: Acr, production_acr: Acr, promoter: Identity
) -> None:
    published = publish(two)
    acr.server.reset()
    promoted = promote(two)
    check(two, published, promoted)
    assert azure.arm.server.requests("POST", "/importImage")
    # Nothing but the documents went through this machine.
    assert not [
        s for s in production_acr.server.requests("PUT", "/blobs/") if s.received > 1_000_000
    ]
    assert promote(two) == promoted


def test_layers_go_through_this_machine_where_azure_may_not_import(
    two: configuration.Project, azure: Azure, production_acr: Acr, promoter: Identity
) -> None:
    promoter.remove_roles("crproduction", IMPORTER)
    published = publish(two)
    check(two, published, promote(two))


def test_an_interrupted_copy_is_resumed(
    two: configuration.Project, acr: Acr, production_acr: Acr, promoter: Identity
) -> None:
    promoter.remove_roles("crproduction", IMPORTER)
    published = publish(two)
    production_acr.server.faults.cut_upload(10)
    acr.server.faults.cut_download(10)
    check(two, published, promote(two))
    assert production_acr.server.faults.has_injected_all
    assert acr.server.faults.has_injected_all


def test_existing_layers_are_not_copied_again(
    two: configuration.Project, acr: Acr, production_acr: Acr, promoter: Identity
) -> None:
    publish(two)
    first = promote(two)
    for registry in (acr, production_acr):
        registry.server.reset()
    # The file names production's repository now: the digest is what is looked for.
    assert promote(two) == first
    assert production_acr.uploaded_bytes == 0
    # Its configuration is read, which tells what it is.
    assert acr.downloaded_bytes < 10_000


def test_one_registry_for_both_environments(
    project: configuration.Project, azure: Azure, acr: Acr, promoter: Identity, folder: str
) -> None:
    same = azure.place(acr, folder)
    with_places(project, {"dev": same, "prod": same})
    published = publish(project)
    acr.server.reset()
    assert promote(project) == published
    assert not acr.server.requests("PUT|POST|PATCH", "/v2/")


def test_the_role_to_push_is_missing_at_the_other_end(
    two: configuration.Project, production_acr: Acr, promoter: Identity
) -> None:
    publish(two)
    promoter.remove_roles("crproduction", "AcrPush", IMPORTER)
    promoter.assign_roles("crproduction", "AcrPull")
    with pytest.raises(DeployError, match="it lacks the role AcrPush") as caught:
        promote(two)
    assert production_acr.login_server in str(caught.value)


def test_a_tag_of_something_else_is_not_overwritten(
    two: configuration.Project, production_acr: Acr, promoter: Identity
) -> None:
    published = publish(two)
    prod = where(two, "prod")
    config_blob = b'{"os":"linux","architecture":"amd64","config":{}}'
    stranger = _manifest(prod, config_blob)
    prod.registry.put_manifest(prod.repository, published.tag, stranger)
    with pytest.raises(DeployError, match="is not an image of the flow hello"):
        promote(two)
    assert prod.registry.get_manifest(prod.repository, published.tag) == stranger
    assert prod.registry.get_manifest(prod.repository, published.digest or "") is None


def test_another_image_of_the_same_content_keeps_its_tag(
    two: configuration.Project, client: docker.DockerClient, promoter: Identity
) -> None:
    elsewhere = publish(two, "prod")
    client.images.remove(f"hello:{elsewhere.tag}", force=True)
    published = publish(two, "dev")
    assert (published.tag, published.digest != elsewhere.digest) == (elsewhere.tag, True)
    promoted = promote(two)
    prod = where(two, "prod")
    kept = prod.registry.get_manifest(prod.repository, published.tag)
    assert kept
    assert kept.digest == elsewhere.digest
    assert promoted.digest == published.digest
    assert prod.registry.get_manifest(
        prod.repository, f"{published.tag}-{(published.digest or '')[7:19]}"
    )


def test_an_index_of_platforms_is_kept_whole(
    two: configuration.Project, azure: Azure, promoter: Identity
) -> None:
    promoter.remove_roles("crproduction", IMPORTER)
    published = publish(two)
    dev = where(two, "dev")
    inner = dev.registry.get_manifest(dev.repository, published.digest or "")
    other = _manifest(dev, b'{"os":"linux","architecture":"arm64","config":{}}')
    dev.registry.put_manifest(dev.repository, other.digest, other)
    assert inner
    entries = [
        {**manifest.descriptor, "platform": {"os": "linux", "architecture": architecture}}
        for manifest, architecture in ((inner, "amd64"), (other, "arm64"))
    ]
    index = manifests.create_manifest(
        {"schemaVersion": 2, "mediaType": manifests.INDEX_TYPE, "manifests": entries}
    )
    dev.registry.put_manifest(dev.repository, index.digest, index)
    handed = image_reference.write(
        two.root, "hello", _with_digest(published, index.digest), git.read_commit(two.root)
    )
    promoted = pipeline.promote(spec(two, "dev"), spec(two, "prod"), two, handed)
    assert promoted.digest == index.digest
    prod = where(two, "prod")
    assert prod.registry.get_manifest(prod.repository, index.digest) == index
    assert prod.registry.get_manifest(prod.repository, other.digest) == other


def test_from_azure_to_a_registry_of_another_kind(
    project: configuration.Project,
    azure: Azure,
    acr: Acr,
    plain_registry: RegistryProcess,
    promoter: Identity,
    folder: str,
) -> None:
    other = {"registry": f"{plain_registry.name}/{folder}"}
    with_places(project, {"dev": azure.place(acr, folder), "prod": other})
    published = publish(project)
    check(project, published, promote(project))


def test_the_running_image_is_promoted(two: configuration.Project, promoter: Identity) -> None:
    with pytest.raises(DeployError, match="nothing is deployed"):
        pipeline.promote(spec(two, "dev"), spec(two, "prod"), two)
    try:
        deployed = pipeline.deploy(two, spec(two, "dev"))
        change(two, "# not deployed yet")
        publish(two)
        promoted = pipeline.promote(spec(two, "dev"), spec(two, "prod"), two)
        assert promoted.digest == deployed.digest
    finally:
        pipeline.destroy(spec(two, "dev"))


def _manifest(at: image_repository.ImageRepository, config_blob: bytes) -> manifests.Manifest:
    """Return a manifest without layers; its configuration is in the registry."""
    digest = manifests.compute_digest(config_blob)
    at.registry.upload_blob(at.repository, digest, io.BytesIO(config_blob), len(config_blob))
    kind = "application/vnd.oci.image.config.v1+json"
    about = {"mediaType": kind, "digest": digest, "size": len(config_blob)}
    return manifests.create_manifest(
        {"schemaVersion": 2, "mediaType": manifests.MANIFEST_TYPE, "config": about, "layers": []}
    )


def _with_digest(published: Image, digest: str) -> Image:
    return replace(published, digest=digest)
