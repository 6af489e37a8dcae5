"""A kind of flow of another distribution, from its folder to its answers: examples/kind-function."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache

import docker
import jsonschema
import pytest

from deploy import kinds
from deploy.build import flow_image as image_of
from deploy.build.base_image import BaseImage
from deploy.config import configuration
from deploy.config.configuration import Project
from deploy.core.entities import Image
from deploy.delivery import resolve_image
from deploy.sandbox.model_server import ModelServer
from deploy.testing.waiting import until
from tests import otlp_collector
from tests.integration import installed_extension
from tests.integration.conftest import ROOT, Start

EXAMPLE = ROOT / "examples/kind-function"
ASKED = {"question": "Who is there?"}
Built = Callable[[str], Image]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with the example's flows, where the example is installed."""
    root = tmp_path_factory.mktemp("project").resolve()
    shutil.copytree(EXAMPLE / "flows", root / "flows")
    (root / "environments.yaml").write_text("local: {}\n", encoding="utf-8")
    with installed_extension.installed(tmp_path_factory.mktemp("installed"), EXAMPLE):
        yield Project(root, {})


@pytest.fixture(scope="module")
def image(project: Project) -> Built:
    return cache(
        lambda name: resolve_image.build_image(project, configuration.load_flow(project, name))
    )


def test_the_image_of_the_kind_fulfills_the_contract(image: Built, start: Start) -> None:
    built = image("greet")
    running = start(built)
    answer = running.post(ASKED)
    assert (answer.status_code, answer.json()) == (
        200,
        {"answer": "You asked: Who is there?", "words": 3},
    )
    assert running.post({**ASKED, "polite": True}).json()["answer"].endswith("Thank you.")
    assert running.get("/health").json() == {"status": "healthy"}
    assert running.get("/version").json() == {
        "flow": "greet",
        "tag": built.tag,
        "commit": built.commit,
    }
    swagger = running.get("/swagger.json").json()
    assert swagger["info"] == {"title": "greet", "version": built.tag}
    post = swagger["paths"]["/score"]["post"]
    request = post["requestBody"]["content"]["application/json"]["schema"]
    assert request == {
        "type": "object",
        "required": ["question"],
        "properties": {
            "question": {"type": "string"},
            "polite": {"type": "boolean", "default": False},
        },
    }
    schema = post["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), schema)
    assert set(schema["properties"]) == {"answer", "words"}

    missing = running.post({})
    assert (missing.status_code, missing.json()["error"]["inputs"]) == (400, ["question"])
    failed = running.post({"question": ""})
    assert failed.status_code == 500
    assert failed.json()["error"]["message"] == "the function failed: ValueError"
    until(lambda: "ValueError: nothing was asked" in running.logs())
    assert not running.container.diff(), "something was written"
    running.container.kill("SIGTERM")
    assert running.exit_status() == 0


def test_its_requests_are_traced_by_the_newer_opentelemetry(image: Built, start: Start) -> None:
    with otlp_collector.serve() as collector:
        running = start(image("greet"), OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
        assert running.post(ASKED).status_code == 200
        running.container.kill("SIGTERM")
        assert running.exit_status() == 0, running.logs()
        (span,) = collector.named("POST /score")
        assert span.attributes["http.response.status_code"] == 200
        assert not [body for body in collector.bodies if b"Who is there" in body]
    assert "Traceback" not in running.logs()


def test_nothing_of_promptflow_is_in_its_image(image: Built, client: docker.DockerClient) -> None:
    code = "import importlib.util as u, pathlib; print(u.find_spec('promptflow'), *sorted(p.name for p in pathlib.Path('/app').iterdir()), pathlib.Path('/app/flow_server/promptflow').exists())"
    printed = client.containers.run(image("greet").id, ["python3", "-c", code], remove=True)
    assert printed.decode() == "None about.json flow flow_server packages False\n"


def test_a_missing_function_is_reported_at_start(project: Project, start: Start) -> None:
    shutil.copytree(project.root / "flows/greet", project.root / "flows/broken")
    (project.root / "flows/broken/function.py").write_text("answer = 42\n", encoding="utf-8")
    running = start(
        resolve_image.build_image(project, configuration.load_flow(project, "broken")), wait=False
    )
    assert running.exit_status() == 78
    assert running.logs() == (
        "cannot start: the flow cannot be loaded: AttributeError: module 'function' has no attribute 'flow'\n"
    )


def test_an_agent_of_agent_framework(
    image: Built, start: Start, variables: dict[str, str], model: ModelServer
) -> None:
    running = start(image("ask"), **variables)
    assert running.post(ASKED).json() == {"answer": "[2 messages] You said: Who is there?"}
    assert model.requests[-1]["messages"][0]["content"] == "Answer in one sentence."
    schema = running.get("/swagger.json").json()["paths"]["/score"]["post"]["requestBody"]
    assert list(schema["content"]["application/json"]["schema"]["properties"]) == ["question"]


def test_its_tag_follows_its_scorer(project: Project) -> None:
    flow = configuration.load_flow(project, "greet")
    base = BaseImage("flow-base:python3.11-bookworm-amd64-000000000000", "sha256:0")
    before = image_of.collect_inputs(flow, base, project.root).tag
    code = kinds.get("function").code
    assert code is not None
    loading = code / "loading.py"
    text = loading.read_text("utf-8")
    loading.write_text(f"{text}\n", "utf-8")
    assert image_of.collect_inputs(flow, base, project.root).tag != before
    loading.write_text(text, "utf-8")
    assert image_of.collect_inputs(flow, base, project.root).tag == before
