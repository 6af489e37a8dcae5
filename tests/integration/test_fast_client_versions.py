"""The fast client works with the versions that it lists, and leaves the others to the SDK."""

from __future__ import annotations

import tempfile
from pathlib import Path

import docker
import pytest

from deploy.build import lock_files, packages, uv
from deploy.config import configuration
from deploy.core.entities import Image
from deploy.delivery import resolve_image
from deploy.docker import tar_files
from deploy.sandbox.model_server import ModelServer
from deploy.server.fast_client.versions import TESTED
from tests import projects
from tests.integration.conftest import Start, built
from tests.integration.running_container import Running
from tests.projects import FIXTURE

NAME = "chat"
SAMPLE = {"question": "Hello?"}
EVENTS = "text/event-stream"
UNTESTED = "3.53.0"
SCRIPTS = ("chunk_comparison.py", "key_rotation.py")


def combination(number: int) -> dict[str, str]:
    """Return the versions that one image has; all combinations together have each version."""
    openai = TESTED["openai"][number]
    http = ("httpx", "httpcore") if int(openai.partition(".")[0]) < 3 else ("httpx2", "httpcore2")
    names = (*http, "httptools", "pydantic")
    return {"openai": openai, **{name: TESTED[name][number % len(TESTED[name])] for name in names}}


COMBINATIONS = [combination(number) for number in range(len(TESTED["openai"]))]


def test_all_versions_that_are_listed_are_among_the_combinations() -> None:
    combined = {pair for versions in COMBINATIONS for pair in versions.items()}
    assert combined == {(name, one) for name, listed in TESTED.items() for one in listed}


@pytest.mark.parametrize("versions", COMBINATIONS, ids=lambda versions: str(versions["openai"]))
def test_it_works_with_every_version_that_is_listed(
    versions: dict[str, str], client: docker.DockerClient
) -> None:
    """The scripts compare it with the SDK, and fail unless it sends the requests."""
    flow, image = built(NAME)
    requirements = [f"{name}=={version}" for name, version in versions.items()]
    with tempfile.TemporaryDirectory() as folder:
        target = ["--target", folder, "--python-version", flow.image.python]
        platform = ["--python-platform", packages.WHEEL_PLATFORMS[image.platform]]
        uv.run(["pip", "install", "--quiet", *target, *platform, *requirements], "installing")
        scripts = {f"scripts/{name}": Path(__file__).with_name(name) for name in SCRIPTS}
        archive = tar_files.pack({"packages": Path(folder), **scripts})
    code = f"import runpy; [runpy.run_path(f'/scripts/{{name}}', {{}}, '__main__') for name in {SCRIPTS}]"
    path = {"PYTHONPATH": "/packages:/app:/app/packages:/app/shims"}
    container = client.containers.create(image.id, ["python3", "-c", code], environment=path)
    try:
        container.put_archive("/", archive)
        container.start()
        assert container.wait(timeout=120)["StatusCode"] == 0, container.logs().decode()
    finally:
        container.remove(force=True)


@pytest.fixture(scope="module")
def untested_image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image of the flow with a version of the SDK that is not listed."""
    folder = FIXTURE / "flows" / NAME
    files = {f"flows/hello/{path.name}": path.read_text("utf-8") for path in folder.iterdir()}
    files["flows/hello/requirements.txt"] += f"openai=={UNTESTED}\n"
    without_code = {"flows/hello/answer.py": None}
    project = projects.make(tmp_path_factory.mktemp("untested"), {**files, **without_code})
    flow = configuration.load_flow(project, "hello")
    lock_files.write_lock(flow)
    return resolve_image.build_image(project, flow)


def answers(running: Running) -> list[tuple[int, str, str]]:
    """Return what clients receive: answers, the same again, events, and a mistake's answer."""
    responses = [
        *(running.post(SAMPLE) for _ in range(3)),
        *(running.post(SAMPLE, Accept=EVENTS) for _ in range(3)),
        running.post({"question": 5}),
    ]
    return [
        (
            response.status_code,
            response.headers["content-type"],
            response.text.replace(response.headers.get("x-request-id", "–"), "‹id›"),
        )
        for response in responses
    ]


def lines_about_it(running: Running) -> list[str]:
    return [line for line in running.logs().splitlines() if "fast client" in line]


def test_with_an_untested_version_the_sdk_gives_the_same_answers(
    untested_image: Image, start: Start, variables: dict[str, str], model: ModelServer
) -> None:
    assert UNTESTED not in TESTED["openai"]
    tested = start(built(NAME)[1], **variables)
    expected, asked = answers(tested), list(model.requests)
    assert expected[0][0] == 200
    assert lines_about_it(tested) == []

    # Two workers are forked from the process that loads the flow.
    untested = start(untested_image, **variables, SERVE_WORKERS="2")
    model.requests.clear()
    assert answers(untested) == expected
    assert model.requests == asked
    (line,) = lines_about_it(untested)
    assert line.endswith(
        "the OpenAI SDK sends all requests, since the fast client is not tested with "
        f"openai {UNTESTED} (tested: {', '.join(TESTED['openai'])})"
    )


LOADED = """
import json, os, pathlib
from flow_server import connections, settings
from flow_server.promptflow import loading
about = json.loads(pathlib.Path("/app/about.json").read_text())
resolved = connections.resolve(about["connections"], os.environ).connections
loading.load(about, pathlib.Path("/app/flow"), resolved, settings.read(os.environ))
import openai
print(type(openai.OpenAI(api_key="key")._client._transport).__name__)
"""


@pytest.mark.parametrize(
    ("off", "transport"),
    [
        ({}, "SyncTransportPool"),
        ({"SERVE_FAST_CLIENT": "false"}, "HTTPTransport"),
        ({"SERVE_SHORTCUTS": "false"}, "HTTPTransport"),
    ],
    ids=["on", "off", "off with the other patches"],
)
def test_variables_turn_it_off(
    off: dict[str, str],
    transport: str,
    variables: dict[str, str],
    client: docker.DockerClient,
) -> None:
    command = ["python3", "-c", LOADED]
    environment = {**variables, **off}
    printed = client.containers.run(
        built(NAME)[1].id, command, environment=environment, remove=True
    )
    assert printed.decode().split() == [transport]


def test_an_untested_version_is_not_reported_if_the_client_is_off(
    untested_image: Image, start: Start, variables: dict[str, str]
) -> None:
    off = start(untested_image, **variables, SERVE_FAST_CLIENT="false")
    assert off.post(SAMPLE).status_code == 200
    assert lines_about_it(off) == []
