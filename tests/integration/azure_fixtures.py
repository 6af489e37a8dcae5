"""Fixtures of an emulated Azure: its servers once a session, its faults and identities for one test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import docker.errors
import pytest

from deploy.azure import clouds
from deploy.core import http_requests
from deploy.core.entities import Attachment, Image
from deploy.docker import engine
from deploy.docker.image_archive import ImageArchive
from deploy.sandbox import azure as emulator
from deploy.sandbox.acr import Acr
from deploy.sandbox.appservice.slot import Site
from deploy.sandbox.azure import Azure
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.https_server import HOST
from deploy.sandbox.identities import Identity
from deploy.sandbox.registry import RegistryProcess
from deploy.sandbox.registry_binary import RegistryMissingError, ensure_registry_binary
from deploy.supply_chain import sbom
from deploy.testing import scripted_project
from deploy.testing.scripted_project import ScriptedProject
from tests.integration import appservice_project, scripted_flow

SignIn = Callable[[Identity], None]
RunAs = Callable[[dict[str, str]], None]


@pytest.fixture(scope="session")
def registry_program() -> None:
    """The program that every registry of the tests is."""
    try:
        ensure_registry_binary()
    except RegistryMissingError as error:
        pytest.exit(f"the integration tests need a registry: {error}", returncode=1)


@pytest.fixture(scope="session")
def azure_servers(
    registry_program: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Azure]:
    with Azure(tmp_path_factory.mktemp("azure")) as servers:
        yield servers


@pytest.fixture
def azure(azure_servers: Azure) -> Iterator[Azure]:
    """Azure without identities and faults. A request that it does not know fails the test."""
    azure_servers.reset()
    yield azure_servers
    problems = azure_servers.problems()
    azure_servers.reset()
    assert not problems, "\n".join(problems)


@pytest.fixture
def acr(azure: Azure) -> Acr:
    """A registry of Azure; what earlier tests stored is still there."""
    return azure.registry("crflows")


@pytest.fixture
def production_acr(azure: Azure) -> Acr:
    """Another one, to promote to."""
    return azure.registry("crproduction")


@pytest.fixture
def workspace(azure: Azure, acr: Acr) -> Workspace:
    """An empty workspace of Machine Learning, whose own registry is the first one."""
    return azure.workspace("mlw-flows", acr)


@pytest.fixture(scope="session")
def plain_registry(
    registry_program: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryProcess]:
    """A registry without TLS, log-in and referrers API."""
    with RegistryProcess(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def sign_in(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> SignIn:
    """Be an identity from now on, in this process and those that it starts."""

    def become(identity: Identity) -> None:
        _become(azure, identity, monkeypatch)

    return become


@pytest.fixture
def run_as(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> RunAs:
    """Have these variables, those of the emulated Azure, and no other log-in."""
    monkeypatch.setattr(http_requests, "BACK_OFF", 0.01)
    for name in (*emulator.CONFLICTING_VARIABLES, "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    # Without an `az login` of the user.
    monkeypatch.setenv("PATH", "/nonexistent")

    def become(variables: dict[str, str]) -> None:
        for name, value in {**azure.trust_variables, **variables}.items():
            monkeypatch.setenv(name, value)
        clouds.get_credential.cache_clear()

    return become


@contextlib.contextmanager
def signed_in(azure: Azure, identity: Identity, folder: Path) -> Iterator[None]:
    """Be an identity inside of the block, and in that folder."""
    with pytest.MonkeyPatch.context() as patch:
        _become(azure, identity, patch)
        patch.chdir(folder)
        yield


def _become(azure: Azure, identity: Identity, patch: pytest.MonkeyPatch) -> None:
    for name in emulator.CONFLICTING_VARIABLES:
        patch.delenv(name, raising=False)
    for name, value in azure.environment(identity).items():
        patch.setenv(name, value)
    # It remembers who was logged in, which in a process of its own does not change.
    clouds.get_credential.cache_clear()


_documents: dict[str, tuple[Attachment, ...]] = {}


@pytest.fixture
def documents_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the bills of materials of an image once a session, in however many tests it is pushed."""
    make = sbom.make

    def once(archive: ImageArchive, image: Image) -> tuple[Attachment, ...]:
        if image.id not in _documents:
            _documents[image.id] = make(archive, image)
        return _documents[image.id]

    monkeypatch.setattr(sbom, "make", once)


@pytest.fixture
def folder(
    request: pytest.FixtureRequest, client: docker.DockerClient, azure_servers: Azure
) -> Iterator[str]:
    """A folder in the registries that only this test uses. The engine forgets their images."""
    test = request.node.name.partition("[")[0].removeprefix("test_")
    used = str(test.replace("_", "-"))[:60].rstrip("-")
    yield used
    forget(client, azure_servers, used)


def forget(client: docker.DockerClient, azure: Azure, used: str) -> None:
    """Take from the engine the names of images in this session's registries, in the folder `used`."""
    servers = {acr.login_server for acr in azure.registries.values()}
    for image in engine.list_images(client):
        for name in (*image.tags, *(image.attrs["RepoDigests"] or ())):
            # Not all that are on this machine: other sessions have registries of their own.
            server, _, path = name.partition("/")
            if server in servers or (server.startswith(f"{HOST}:") and path.startswith(f"{used}/")):
                # Podman lists digests that it does not know as names.
                with contextlib.suppress(docker.errors.APIError):
                    client.images.remove(name, noprune=True)


@pytest.fixture(scope="session")
def scripted_images(
    azure_servers: Azure, client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Image, ...]]:
    """Two images of the scripted flow, in the registry."""
    folder = tmp_path_factory.mktemp("scripted")
    made = scripted_flow.published(azure_servers, client, folder)
    yield made
    for image in made:
        client.images.remove(image.id, force=True)


@pytest.fixture
def web_site(azure: Azure, acr: Acr) -> Site:
    """A site with a slot, as infrastructure makes it."""
    return appservice_project.site(azure, acr)


@pytest.fixture
def web_dev(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    azure: Azure,
    acr: Acr,
    scripted_images: tuple[Image, ...],
    sign_in: SignIn,
) -> ScriptedProject:
    """A project that deploys to a site, with an identity that may."""
    sign_in(appservice_project.deployer(azure))
    place = {**azure.place(acr, scripted_flow.FOLDER), **appservice_project.place(azure)}
    settings = appservice_project.SETTINGS
    made = scripted_project.make(tmp_path / "project", scripted_images, settings, place)
    monkeypatch.chdir(made.project.root)
    return made
