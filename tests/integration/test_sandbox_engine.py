"""The real engine with the emulated registry, and requests of other clients."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import ssl
import tarfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import docker
import docker.errors
import pytest
import requests
from docker.models.images import Image

from deploy.registry import oci
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import ACR_PULL, ACR_PUSH
from tests.integration.azure_fixtures import SignIn
from tests.integration.registry_content import client as registry_client
from tests.integration.registry_content import pull_blob, push_blob

NAME = "engine/tiny"


@pytest.fixture
def registry(azure: Azure, acr: Acr, sign_in: SignIn) -> oci.Registry:
    sign_in(azure.identity("publisher", crflows=[ACR_PUSH]))
    return registry_client(azure, acr)


@pytest.fixture
def image(client: docker.DockerClient, acr: Acr) -> Iterator[Image]:
    """An image of one small file that no engine has seen, under a name in the registry."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        content = os.urandom(3000)
        member = tarfile.TarInfo("file")
        member.size = len(content)
        files.addfile(member, io.BytesIO(content))
    name, tag = f"{acr.login_server}/{NAME}", uuid.uuid4().hex
    client.api.import_image_from_data(archive.getvalue(), repository=name, tag=tag)
    made = client.images.get(f"{name}:{tag}")
    yield made
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.images.remove(str(made.id), force=True)


def test_the_engine_pushes_and_pulls(
    client: docker.DockerClient, registry: oci.Registry, acr: Acr, image: Image
) -> None:
    (reference,) = image.tags
    auth = registry.login.credentials().to_auth_config()
    lines = list(client.api.push(reference, auth_config=auth, stream=True, decode=True))
    assert not [line["error"] for line in lines if "error" in line]
    # The engine sends layers in chunks, of a length that it does not say.
    assert acr.server.requests("PATCH", "/blobs/uploads/")
    client.images.remove(reference)
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(reference)
    pulled = client.images.pull(reference, auth_config=auth)
    assert pulled.id == image.id
    tag = reference.rpartition(":")[2]
    stored = registry.get_manifest(NAME, tag)
    assert stored is not None
    assert stored.data["config"]["digest"] == image.id


def test_the_engine_is_rejected_without_a_role(
    client: docker.DockerClient,
    azure: Azure,
    acr: Acr,
    registry: oci.Registry,
    image: Image,
    sign_in: SignIn,
) -> None:
    (reference,) = image.tags
    sign_in(azure.identity("reader", crflows=[ACR_PULL]))
    auth = registry_client(azure, acr).login.credentials().to_auth_config()
    lines = list(client.api.push(reference, auth_config=auth, stream=True, decode=True))
    assert [line["error"] for line in lines if "error" in line] == [
        "denied: requested access to the resource is denied"
    ]
    assert acr.uploaded_bytes == 0


def test_the_password_grant_is_unknown(azure: Azure, acr: Acr, registry: oci.Registry) -> None:
    answer = requests.post(
        f"{acr.server.url}/oauth2/token",
        data={"grant_type": "password", "username": "u", "password": "p", "service": "s"},
        verify=str(azure.authority.bundle),
        timeout=10,
    )
    assert answer.status_code == 400


def test_many_at_once(registry: oci.Registry, acr: Acr) -> None:
    contents = [os.urandom(500_000) for _ in range(16)]
    push_blob(registry, NAME, b"so that there is a token")
    with ThreadPoolExecutor(16) as pool:
        digests = list(pool.map(lambda content: push_blob(registry, NAME, content), contents))
        pulled = list(pool.map(lambda digest: pull_blob(registry, NAME, digest), digests))
    assert pulled == contents
    assert acr.downloaded_bytes == sum(map(len, contents))


def test_a_client_that_waits_for_the_go_ahead(
    azure: Azure, acr: Acr, registry: oci.Registry
) -> None:
    digest = push_blob(registry, NAME, b"so that there is a token")
    token = acr.tokens.issue_internal_token(f"repository:{NAME}:pull,push")
    trusted = ssl.create_default_context(cafile=str(azure.authority.bundle))
    connection = http.client.HTTPSConnection("127.0.0.1", acr.server.port, context=trusted)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        connection.request("POST", f"/v2/{NAME}/blobs/uploads/", headers=headers)
        started = connection.getresponse()
        started.read()
        content = os.urandom(100_000)
        connection.putrequest("PATCH", started.headers["Location"])
        for name, value in {**headers, "Expect": "100-continue"}.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(content)))
        connection.endheaders()
        # http.client reads over the 100; without one the server would be waiting for the body.
        assert connection.sock.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.send(content)
        assert connection.getresponse().status == 202
    finally:
        connection.close()
    assert registry.has_blob(NAME, digest)
