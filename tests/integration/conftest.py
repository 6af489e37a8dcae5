"""What the tests on a real engine share: images of the flows, a model server, containers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import docker
import docker.errors
import pytest

# Its reaper is an image of its own, which a closed machine cannot pull; the tests remove what they start.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from deploy.config import configuration
from deploy.core.entities import Flow, Image
from deploy.core.errors import DeployError
from deploy.delivery import pipeline, resolve_image
from deploy.docker import engine
from deploy.sandbox import model_server
from deploy.sandbox.model_server import ModelServer
from deploy.server import auth
from deploy.targets import verification
from tests import projects
from tests.integration import local_project, pf_server
from tests.integration.azure_fixtures import (  # noqa: F401 (pytest finds fixtures here)
    acr,
    azure,
    azure_servers,
    documents_once,
    folder,
    log_in,
    obedient_images,
    plain_registry,
    production_acr,
    registry_program,
    run_as,
    web_dev,
    web_site,
    workspace,
)
from tests.integration.base_fixtures import home, variant  # noqa: F401
from tests.integration.ml_standing import (  # noqa: F401
    standing,
    world,
)
from tests.integration.official_base_fixtures import (  # noqa: F401
    base_registry,
    distroless_python,
    official_python,
)
from tests.integration.running import Running

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def client() -> docker.DockerClient:
    try:
        return engine.connect()
    except DeployError as error:
        pytest.exit(f"the integration tests need an engine: {error}", returncode=1)


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with model_server.serve() as server:
        yield server


@pytest.fixture(autouse=True)
def well_behaved_model(model: ModelServer) -> Iterator[None]:
    """Each test starts with a model server that answers at once, and with no requests seen."""
    model.reset()
    yield
    if model.gate:
        model.gate.set()


@cache
def built(name: str) -> tuple[Flow, Image]:
    """Build a flow of the repository, once a session."""
    project = configuration.open_project(ROOT)
    flow = configuration.load_flow(project, name)
    return flow, resolve_image.build_image(project, flow)


Start = Callable[..., Running]


@pytest.fixture(scope="session")
def start(client: docker.DockerClient, model: ModelServer) -> Iterator[Start]:
    """Start containers as strictly as any target does: read-only root, no capabilities, no tmpfs."""
    started: list[DockerContainer] = []

    def run(image: Image, wait: bool = True, **variables: str) -> Running:
        container = (
            DockerContainer(image.id)
            .with_exposed_ports(8080)
            .with_kwargs(
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                mem_limit="512m",
                extra_hosts={"host.docker.internal": "host-gateway"},
            )
        )
        for name, value in variables.items():
            container.with_env(name, value)
        container.start()
        started.append(container)
        wrapped: Container = container.get_wrapped_container()
        url = f"http://127.0.0.1:{container.get_exposed_port(8080)}" if wait else ""
        if wait:
            key = variables.get(auth.KEY_VARIABLE)
            let_in = {"Authorization": f"Bearer {key}"} if key else {}
            verification.wait_until_ready(url, image, 60, lambda: _ended(wrapped), let_in)
        return Running(wrapped, url)

    yield run
    for container in started:
        # Podman removes it with an image that a test removes.
        with contextlib.suppress(docker.errors.NotFound):
            container.stop()


@pytest.fixture(scope="session")
def variables(model: ModelServer) -> dict[str, str]:
    """What a container needs to reach the model server by key."""
    return {"AZURE_OPENAI_ENDPOINT": model.endpoint, "AZURE_OPENAI_API_KEY": model_server.KEY}


@pytest.fixture(scope="session")
def serving(start: Start, variables: dict[str, str]) -> Callable[[str], Running]:
    """Return the running container of a flow of the repository; one a session."""

    @cache
    def of(name: str) -> Running:
        return start(built(name)[1], **variables)

    return of


@pytest.fixture(scope="session")
def pf(
    client: docker.DockerClient, variables: dict[str, str]
) -> Iterator[Callable[[str], Running]]:
    """Return pf's own server of a flow; one a session."""
    started: list[Running] = []

    @cache
    def of(name: str) -> Running:
        running = pf_server.start(client, *built(name), variables)
        started.append(running)
        return running

    yield of
    for running in started:
        running.container.remove(force=True)


def _ended(container: Container) -> str:
    container.reload()
    return (
        ""
        if container.status in ("created", "running")
        else f"it ended: {engine.log_tail(container)}"
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[configuration.Project]:
    """A project of one small flow whose locked packages are those of faq, so that they are there already."""
    files = {
        "flows/hello/requirements.txt": (ROOT / "flows/faq/requirements.txt").read_text("utf-8"),
        "flows/hello/requirements.lock": (ROOT / "flows/faq/requirements.lock").read_text("utf-8"),
        # Another image for each worker: one takes away what another one uses.
        "flows/hello/worker.txt": os.environ.get("PYTEST_XDIST_WORKER", "alone"),
    }
    made = projects.make(tmp_path / "project", files)
    monkeypatch.chdir(made.root)
    yield made
    restored = replace(local_project.spec(projects.make(made.root, files)), project=made.name)
    pipeline.destroy(restored)
