"""The client of registries against an emulated Azure: real SDK, real registry, real engine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from azure.identity import DefaultAzureCredential

from deploy.core import http_requests
from deploy.core.errors import DeployError
from deploy.registry import manifests, oci
from deploy.registry.login import DockerLogin
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import ACR_PULL, ACR_PUSH, Identity
from deploy.sandbox.registry import RegistryProcess as PlainRegistry
from tests.integration.azure_fixtures import SignIn
from tests.integration.registry_content import (
    ARTIFACT,
    CONFIG,
    client,
    pull_blob,
    push_blob,
    push_image,
)

NAME = "team/faq"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long it waits by itself is no part of what is tested here."""
    monkeypatch.setattr(http_requests, "BACK_OFF", 0.01)


@pytest.fixture
def publisher(azure: Azure, acr: Acr, sign_in: SignIn) -> Identity:
    """Who may push to the registry, and is logged in."""
    made = azure.identity("publisher", crflows=[ACR_PUSH])
    sign_in(made)
    return made


@pytest.fixture
def registry(azure: Azure, acr: Acr, publisher: Identity) -> oci.Registry:
    return client(azure, acr)


def sentence(act: Callable[[], object]) -> str:
    with pytest.raises(DeployError) as caught:
        act()
    return str(caught.value)


def test_the_sdk_signs_in_with_one_request(azure: Azure, publisher: Identity) -> None:
    token = DefaultAzureCredential().get_token("https://containerregistry.azure.net/.default")
    assert azure.directory.read(token.token, "https://containerregistry.azure.net") is publisher
    assert [(seen.method, seen.path, seen.status) for seen in azure.entra.server.seen] == [
        ("POST", f"/{azure.directory.tenant}/oauth2/v2.0/token", 200)
    ]


def test_a_pulled_image_equals_the_pushed_one(registry: oci.Registry, acr: Acr) -> None:
    manifest, _ = push_image(registry, NAME, "1")
    assert registry.get_manifest(NAME, "1") == manifest
    assert registry.get_manifest(NAME, manifest.digest) == manifest
    assert registry.get_manifest(NAME, "no-such-tag") is None
    assert registry.get_blob(NAME, manifests.compute_digest(CONFIG)) == CONFIG
    (layer,) = manifest.data["layers"]
    assert manifests.compute_digest(pull_blob(registry, NAME, layer["digest"])) == layer["digest"]
    assert acr.uploaded_bytes == len(CONFIG) + 1000
    assert acr.downloaded_bytes == len(CONFIG) + 1000


def test_a_blob_is_mounted_without_a_byte_on_the_wire(registry: oci.Registry, acr: Acr) -> None:
    digest = push_blob(registry, NAME, os.urandom(1000))
    before = acr.uploaded_bytes
    assert registry.mount_blob("team/other", digest, NAME)
    assert registry.has_blob("team/other", digest)
    assert acr.uploaded_bytes == before


def test_without_a_role_the_message_names_it(azure: Azure, acr: Acr, sign_in: SignIn) -> None:
    reader, nobody = azure.identity("reader", crflows=[ACR_PULL]), azure.identity("nobody")
    sign_in(reader)
    registry = client(azure, acr)
    assert registry.get_manifest(NAME, "no-such-tag") is None
    assert sentence(lambda: push_blob(registry, NAME, b"x")) == (
        f"registry {acr.login_server}: the identity {reader.client_id} (object {reader.object_id}) "
        "is not allowed to push to team/faq: it lacks the role AcrPush\n"
        "  → assign it AcrPush on this registry; a new assignment takes minutes to become effective"
    )
    sign_in(nobody)
    assert sentence(lambda: client(azure, acr).get_manifest(NAME, "1")) == (
        f"registry {acr.login_server}: the identity {nobody.client_id} (object {nobody.object_id}) "
        "is not allowed to pull from team/faq: it lacks the role AcrPull\n"
        "  → assign it AcrPull on this registry; a new assignment takes minutes to become effective"
    )
    assert acr.uploaded_bytes == 0


def test_a_role_that_is_taken_away_counts_with_the_next_token(
    registry: oci.Registry, acr: Acr, publisher: Identity
) -> None:
    push_blob(registry, NAME, b"before")
    publisher.remove_roles("crflows", ACR_PUSH)
    push_blob(registry, NAME, b"the token still says so")
    acr.tokens.expire()
    assert "it lacks the role AcrPush" in sentence(lambda: push_blob(registry, NAME, b"after"))


def test_a_token_that_ran_out_is_renewed(registry: oci.Registry, acr: Acr) -> None:
    push_image(registry, NAME, "1")
    for act in (
        lambda: push_blob(registry, NAME, os.urandom(100_000)),
        lambda: push_image(registry, NAME, "2"),
        lambda: registry.get_manifest(NAME, "1"),
    ):
        acr.server.seen.clear()
        acr.tokens.expire()
        act()
        assert len(acr.server.requests(path="/oauth2/token")) == 1
        assert [seen.status for seen in acr.server.seen].count(401) <= 1


def test_retry_after_is_respected(registry: oci.Registry, acr: Acr) -> None:
    push_image(registry, NAME, "1")
    acr.server.faults.answer(429, retry_after="1", method="GET", path="/manifests/")
    start = time.monotonic()
    assert registry.get_manifest(NAME, "1")
    assert time.monotonic() - start >= 1
    assert [seen.status for seen in acr.server.requests("GET", "/manifests/")] == [429, 200]


def test_a_service_that_stays_busy_is_named(registry: oci.Registry, acr: Acr) -> None:
    registry.get_manifest(NAME, "1")
    acr.server.faults.answer(503, times=5, path="/manifests/")
    assert sentence(lambda: registry.get_manifest(NAME, "1")) == (
        f"registry {acr.login_server}: it answered 503 Service Unavailable, 5 times in a row\n"
        "  → try again later; completed work is kept"
    )
    assert acr.server.faults.has_injected_all


# At the first bytes, and in the middle: inside of TLS a cut looks different each time.
@pytest.mark.parametrize("after", [0, 1, 300_000])
def test_an_upload_that_is_cut_is_sent_again(registry: oci.Registry, acr: Acr, after: int) -> None:
    content = os.urandom(1_000_000)
    registry.get_manifest(NAME, "1")
    acr.server.faults.cut_upload(after)
    digest = push_blob(registry, NAME, content)
    assert pull_blob(registry, NAME, digest) == content
    sent = acr.server.requests("PUT", "/blobs/uploads/")
    assert [(seen.status, seen.received) for seen in sent] == [(0, after), (201, len(content))]


@pytest.mark.parametrize("after", [0, 300_000])
def test_a_download_that_is_cut_is_started_again(
    registry: oci.Registry, acr: Acr, after: int
) -> None:
    content = os.urandom(1_000_000)
    digest = push_blob(registry, NAME, content)
    acr.server.faults.cut_download(after)
    assert pull_blob(registry, NAME, digest) == content
    assert [seen.sent for seen in acr.server.requests("GET", "/blobs/")] == [after, len(content)]


def test_a_registry_that_is_gone_is_named(registry: oci.Registry, acr: Acr) -> None:
    with acr.server.outage():
        assert sentence(lambda: registry.get_manifest(NAME, "1")) == (
            f"registry {acr.login_server}: it cannot be reached ([Errno 111] Connection refused)\n"
            "  → check its name, and whether your network (VPN, private endpoint) reaches it"
        )
    assert registry.get_manifest(NAME, "no-such-tag") is None


def test_a_certificate_of_another_authority_is_not_trusted(
    azure: Azure, acr: Acr, registry: oci.Registry
) -> None:
    with acr.server.use_authority(azure.untrusted_authority):
        text = sentence(lambda: registry.get_manifest(NAME, "1"))
    assert text.startswith(f"registry {acr.login_server}: its certificate is not trusted (")
    assert text.endswith(
        ")\n  → if your company signed it, set REQUESTS_CA_BUNDLE to the file of its authority"
    )
    assert acr.server.seen == []


def test_an_unexpected_job_is_rejected_by_entra(
    azure: Azure, acr: Acr, publisher: Identity, sign_in: SignIn
) -> None:
    # Its federated credential is for an environment, and the job runs in none.
    publisher.subject = "repo:contoso/flows:ref:refs/heads/main"
    sign_in(publisher)
    publisher.subject = "repo:contoso/flows:environment:prod"
    assert sentence(lambda: client(azure, acr).get_manifest(NAME, "1")) == (
        "Azure: no Azure log-in works: WorkloadIdentityCredential: Microsoft Entra ID error "
        "'(invalid_client) AADSTS700213: No matching federated identity record found for presented "
        "assertion subject 'repo:contoso/flows:ref:refs/heads/main' and issuer "
        "'https://token.actions.githubusercontent.com'.\n"
        "  → `az login`; in CI, sign in with workload identity federation"
    )


def test_an_unknown_application_is_rejected_by_entra(
    azure: Azure, acr: Acr, publisher: Identity
) -> None:
    azure.directory.clear()
    text = sentence(lambda: client(azure, acr).get_manifest(NAME, "1"))
    assert f"AADSTS700016: Application with identifier '{publisher.client_id}'" in text


@pytest.mark.parametrize("api", [True, False])
def test_referrers_of_an_image_are_found(registry: oci.Registry, acr: Acr, api: bool) -> None:
    acr.referrers_api = api
    image, _ = push_image(registry, NAME, "1")
    assert registry.list_referrers(NAME, image.digest) == []
    artifact, noted = push_image(registry, NAME, subject=image)
    assert noted is api
    listed = {**artifact.descriptor, "artifactType": ARTIFACT}
    if not api:
        # What a client does that gets no OCI-Subject.
        index = {"schemaVersion": 2, "mediaType": manifests.INDEX_TYPE, "manifests": [listed]}
        registry.put_manifest(
            NAME, manifests.get_fallback_tag(image.digest), manifests.create_manifest(index)
        )
    assert registry.list_referrers(NAME, image.digest) == [listed]


def test_a_registry_without_tls_and_sign_in(plain_registry: PlainRegistry) -> None:
    registry = oci.Registry(plain_registry.name, DockerLogin(plain_registry.name))
    image, noted = push_image(registry, NAME, "1")
    assert not noted
    assert registry.get_manifest(NAME, "1") == image
    assert registry.list_referrers(NAME, image.digest) == []
