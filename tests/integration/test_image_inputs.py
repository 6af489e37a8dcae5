"""Pictures in requests, for each kind of flow and each way of writing one: no file, no other host."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.model_server import ModelServer
from tests import image_host
from tests.image_host import PICTURE, SECRET, PictureHost
from tests.integration import footprint, input_flows
from tests.integration.conftest import Start
from tests.integration.running_container import Running

BASE64 = base64.b64encode(PICTURE).decode()
SEEN = {"type": "image/png", "bytes": len(PICTURE)}
FILE = "/etc/passwd"
# Each shortcut's way, and promptflow's own executor.
WAYS = ["true", "false"]


@pytest.fixture(scope="module")
def host() -> Iterator[PictureHost]:
    with image_host.serve("0.0.0.0") as served:
        yield served


def url(host: PictureHost, path: str = "/picture.png") -> str:
    return f"http://host.docker.internal:{host.port}{path}"


def allowing(host: PictureHost, private: bool = True) -> str:
    urls = f"http://host.docker.internal:{host.port}"
    return f'pictures: {{urls: ["{urls}"], private: {str(private).lower()}}}\n'


@pytest.fixture(scope="module", params=WAYS)
def closed(
    request: pytest.FixtureRequest, start: Start, tmp_path_factory: pytest.TempPathFactory
) -> Running:
    """The album of a flow that allows no host."""
    image = input_flows.build(tmp_path_factory.mktemp("closed"), "album")
    return start(image, SERVE_SHORTCUTS=request.param)


@pytest.fixture(scope="module", params=WAYS)
def open_(
    request: pytest.FixtureRequest,
    start: Start,
    host: PictureHost,
    tmp_path_factory: pytest.TempPathFactory,
) -> Running:
    """The album of a flow that allows the host."""
    image = input_flows.build(tmp_path_factory.mktemp("open"), "album", allowing(host))
    return start(image, SERVE_SHORTCUTS=request.param)


def refused(running: Running, body: Any, name: str) -> str:
    """Score `body`, which is refused for its input `name`; return the message."""
    response = running.post(body)
    answer = response.json()
    assert response.status_code == 400, answer
    assert answer["error"]["inputs"] == [name]
    message: str = answer["error"]["message"]
    assert message.startswith(f"input {name}: ")
    for text in (SECRET, "root:", FILE):
        assert text not in response.text
        assert text not in running.logs()
    return message


def inputs(value: Any) -> list[tuple[str, Any]]:
    """Return each place of a picture in the album's inputs: name and body."""
    return [
        ("cover", {"cover": value}),
        ("pictures", {"pictures": [value]}),
        ("pictures", {"pictures": [{"deep": [value]}]}),
        ("pictures", {"pictures": json.dumps([value])}),
        ("notes", {"notes": value}),
        ("notes", {"notes": {"deep": [value]}}),
        ("notes", {"notes": json.dumps({"deep": value})}),
    ]


def test_base64_images_are_accepted(closed: Running) -> None:
    picture = {"data:image/png;base64": BASE64}
    for name, body in inputs(picture):
        assert first(closed.post(body).json()["seen"][name]) == SEEN
    assert closed.post({"cover": picture}).json()["seen"]["cover"] == SEEN
    data = f"data:image/png;base64,{BASE64}"
    assert closed.post({"cover": data}).json()["seen"]["cover"] == SEEN
    assert closed.post({"cover": BASE64}).json()["seen"]["cover"] == SEEN


def first(value: Any) -> Any:
    """Return the first picture in what was seen of an input."""
    while "bytes" not in value:
        value = value[0] if isinstance(value, list) else value["deep"]
    return value


def test_a_file_that_the_flow_names_is_read(closed: Running) -> None:
    assert closed.post({}).json()["seen"]["cover"] == {"type": "image/gif", "bytes": 15}


@pytest.mark.parametrize(
    "path", [FILE, "/app/flow/../../etc/passwd", "look.py", "/proc/self/environ"]
)
def test_no_file_is_read(closed: Running, path: str) -> None:
    for name, body in inputs({"data:image/png;path": path}):
        assert "by path" in refused(closed, body, name)
    assert "by path" in refused(closed, {"cover": path + ":"}, "cover")


def test_no_host_is_requested_if_none_is_allowed(closed: Running, host: PictureHost) -> None:
    host.asked.clear()
    for address in (url(host), "http://169.254.169.254/", "https://example.com/a.png"):
        for name, body in inputs({"data:image/png;url": address}):
            assert "by URL" in refused(closed, body, name)
        assert "by URL" in refused(closed, {"cover": address}, "cover")
    assert host.asked == []


def test_rejected_images_are_not_kept(closed: Running) -> None:
    """An error that holds its request, until the garbage collector comes by, fills the memory."""
    body = {"cover": {"data:image/png;base64": "A" * 2_000_000 + "!"}}
    refused(closed, body, "cover")
    # What the allocators of both processes keep, and what a collection leaves for the next one.
    for _ in range(20):
        closed.post(body)
    memory = footprint.memory(closed.container)
    for _ in range(60):
        assert closed.post(body).status_code == 400
    # Held, each would take 6 MB.
    assert footprint.memory(closed.container) < memory + 150


def test_an_image_of_an_allowed_host_is_fetched(open_: Running, host: PictureHost) -> None:
    seen = open_.post({"cover": url(host), "pictures": [{"data:image/png;url": url(host)}]})
    assert seen.json()["seen"] == {"cover": {**SEEN}, "pictures": [SEEN], "notes": {}}


@pytest.mark.parametrize("path", ["/text", "/error", "/redirect", "/short", "/large", "/slow"])
def test_answers_of_an_allowed_host_are_not_passed_on(
    open_: Running, host: PictureHost, path: str
) -> None:
    host.asked.clear()
    refused(open_, {"pictures": [{"data:image/png;url": url(host, path)}]}, "pictures")
    assert host.asked == [path]


def test_other_hosts_are_not_requested(open_: Running, host: PictureHost) -> None:
    host.asked.clear()
    for address in (
        f"http://127.0.0.1:{host.port}/a.png",
        f"http://host.docker.internal@localhost:{host.port}/a.png",
        f"http://host.docker.internal:{host.port}@localhost:{host.port}/a.png",
        "http://host.docker.internal:8080/health",
        "http://169.254.169.254/metadata/instance",
    ):
        refused(open_, {"notes": {"data:image/png;url": address}}, "notes")
    assert host.asked == []


def test_a_host_in_a_private_network_is_not_requested(
    start: Start, host: PictureHost, tmp_path: Path
) -> None:
    """The engine's own network is one; deploy.yaml of this flow does not allow it."""
    running = start(input_flows.build(tmp_path, "album", allowing(host, private=False)))
    host.asked.clear()
    refused(running, {"cover": url(host)}, "cover")
    assert host.asked == []


def test_image_inputs_in_the_format_of_openai(
    start: Start, host: PictureHost, tmp_path: Path
) -> None:
    dialect = {"inputs:\n  cover": "message_format: openai-vision\ninputs:\n  cover"}
    dialect["{data:image/gif;path: cover.gif}"] = (
        "{type: image_file, image_file: {path: cover.gif}}"
    )
    running = start(input_flows.build(tmp_path, "album", allowing(host), **dialect))
    data = f"data:image/png;base64,{BASE64}"
    for address in (data, url(host)):
        picture = {"type": "image_url", "image_url": {"url": address}}
        seen = running.post({"notes": {"a": picture}}).json()["seen"]
        assert seen["notes"]["a"]["bytes"] == len(PICTURE)
    for name, body in inputs({"type": "image_file", "image_file": {"path": FILE}}):
        assert "by path" in refused(running, body, name)
    for address in (f"http://localhost:{host.port}/", "no picture"):
        picture = {"type": "image_url", "image_url": {"url": address}}
        refused(running, {"notes": [picture]}, "notes")


@pytest.mark.parametrize("way", WAYS)
def test_image_inputs_of_a_prompty(
    way: str,
    start: Start,
    host: PictureHost,
    variables: dict[str, str],
    model: ModelServer,
    tmp_path: Path,
) -> None:
    image = input_flows.build(tmp_path, "caption", allowing(host))
    running = start(image, **variables, SERVE_SHORTCUTS=way)
    assert running.post({"picture": f"data:image/png;base64:{BASE64}"}).status_code == 200
    content = model.requests[-1]["messages"][-1]["content"]
    assert content[0]["image_url"]["url"] == f"data:image/png;base64,{BASE64}"
    assert running.post({"picture": f"data:image/png;url: {url(host)}"}).status_code == 200
    assert model.requests[-1]["messages"][-1]["content"][0]["image_url"]["url"] == url(host)
    model.requests.clear()
    for text in (f"path:{FILE}", f"path: ../..{FILE}", f"url:{url(host, '/text')}", "base64:A"):
        response = running.post({"picture": f"data:image/png;{text}"})
        assert response.status_code == 400, response.text
        assert "input picture: " in response.json()["error"]["message"]
        assert SECRET not in response.text
    assert model.requests == []


def test_a_flex_flow_gets_what_was_sent(
    start: Start, host: PictureHost, variables: dict[str, str], tmp_path: Path
) -> None:
    running = start(input_flows.build(tmp_path, "echo", allowing(host)), **variables)
    host.asked.clear()
    body = {
        "thing": {"data:image/png;path": FILE},
        "words": [{"data:image/png;url": url(host)}],
    }
    assert json.loads(running.post(body).json()) == [body["thing"], body["words"]]
    assert host.asked == []
