"""Fixtures of tests on a real engine: images of the flows, a model server, containers."""

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
from testcontainers.core.container import DockerContainer

from deploy.config import configuration
from deploy.core.entities import Flow, Image
from deploy.core.errors import DeployError
from deploy.delivery import pipeline, resolve_image
from deploy.docker import engine, image_archive
from deploy.sandbox import model_server
from deploy.sandbox.model_server import ModelServer
from tests import containers, otlp_collector, projects
from tests.integration import local_project, pf_server
from tests.integration.azure_fixtures import (  # noqa: F401 (pytest finds fixtures here)
    acr,
    azure,
    azure_servers,
    documents_once,
    folder,
    plain_registry,
    production_acr,
    registry_program,
    run_as,
    scripted_images,
    sign_in,
    web_dev,
    web_site,
    workspace,
)
from tests.integration.azureml_serving import (  # noqa: F401
    standing,
    world,
)
from tests.integration.base_image_fixtures import home, variant  # noqa: F401
from tests.integration.build_fixtures import built_project  # noqa: F401
from tests.integration.evaluation_fixtures import project_copy  # noqa: F401
from tests.integration.exported_telemetry import Traced
from tests.integration.image_documents import InspectedImage, documents
from tests.integration.official_base_fixtures import (  # noqa: F401
    base_registry,
    distroless_python,
    official_python,
)
from tests.integration.push_fixtures import cloud_project, pusher, short_back_off  # noqa: F401
from tests.integration.running_container import Running
from tests.otlp_collector import Collector
from tests.projects import FIXTURE

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
    """Build a flow of the fixture, once a session."""
    project = configuration.open_project(FIXTURE)
    flow = configuration.load_flow(project, name)
    return flow, resolve_image.build_image(project, flow)


Start = Callable[..., Running]


@pytest.fixture(scope="session")
def start(client: docker.DockerClient, model: ModelServer) -> Iterator[Start]:
    """Start containers; with `wait`, wait until they are healthy."""
    started: list[DockerContainer] = []

    def run(image: Image, wait: bool = True, **variables: str) -> Running:
        container = containers.create(image, variables, memory="512m")
        container.start()
        started.append(container)
        url = containers.wait_until_ready(container, image, variables) if wait else ""
        return Running(container.get_wrapped_container(), url)

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
    """Return the running container of a flow of the fixture; one a session."""

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


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[configuration.Project]:
    """A project of one small flow whose locked packages are those of faq, so that they are there already."""
    files = {
        "flows/hello/requirements.txt": (FIXTURE / "flows/faq/requirements.txt").read_text("utf-8"),
        "flows/hello/requirements.lock": (FIXTURE / "flows/faq/requirements.lock").read_text(
            "utf-8"
        ),
        # Another image for each worker: one takes away what another one uses.
        "flows/hello/worker.txt": os.environ.get("PYTEST_XDIST_WORKER", "alone"),
    }
    made = projects.make(tmp_path / "project", files)
    monkeypatch.chdir(made.root)
    yield made
    restored = replace(local_project.spec(projects.make(made.root, files)), project=made.name)
    pipeline.destroy(restored)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with otlp_collector.serve() as server:
        yield server


@pytest.fixture
def traced(start: Start, variables: dict[str, str], collector: Collector) -> Traced:
    """Start the container of a flow; nothing is sent before its end, so that the end must send."""

    def run(name: str, **more: str) -> Running:
        given = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            "OTEL_METRIC_EXPORT_INTERVAL": "600000",
            **more,
        }
        return start(built(name)[1], **variables, **given)

    return run


@pytest.fixture(scope="module")
def inspected_faq(client: docker.DockerClient) -> Iterator[InspectedImage]:
    flow, image = built("faq")
    with image_archive.save_image(client, image.id) as saved:
        yield InspectedImage(flow, image, saved, documents(flow, image, saved))
