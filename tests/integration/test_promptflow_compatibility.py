"""The server's replacements for promptflow's executor return promptflow's results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.config import configuration
from deploy.core.entities import Image
from deploy.delivery import resolve_image
from deploy.sandbox.model_server import ModelServer
from tests import projects
from tests.integration.conftest import Start, built
from tests.integration.running_container import Running
from tests.projects import FIXTURE

FLOWS = Path(__file__).parent / "flows"

REQUESTS: list[Any] = [
    {"mode": "go"},
    {"mode": "stay"},
    {"mode": "stay", "loud": True},
    {"mode": "stay", "loud": "true", "factor": "2", "numbers": "[4, 5]"},
    {"mode": "go", "numbers": [], "options": {"deep": [{"a": None}]}},
    {"mode": "go", "factor": 3, "unknown": 1},
    {"mode": 5},
    {"mode": ""},
    {"mode": "ünïcode ✓"},
    {"mode": "raise"},
    {"mode": "exit"},
    {"mode": "short"},
    {"mode": "keyless"},
    {"mode": "right"},
    {"mode": "go", "numbers": ["a"]},
    {},
    {"mode": None},
    {"mode": "go", "factor": "much"},
    {"mode": "go", "options": [1]},
]


@pytest.fixture(scope="module")
def maze(tmp_path_factory: pytest.TempPathFactory, start: Start) -> tuple[Running, Running]:
    """Every way in which nodes depend on each other or fail: with the shortcuts, and without."""
    image = _built(tmp_path_factory.mktemp("maze"), "maze")
    return start(image), start(image, SERVE_SHORTCUTS="false")


def _built(root: Path, name: str) -> Image:
    files: dict[str, Any] = {
        f"flows/hello/{path.name}": path.read_text(encoding="utf-8")
        for path in (FLOWS / name).iterdir()
        if path.is_file()
    }
    for name in ("requirements.txt", "requirements.lock"):
        files[f"flows/hello/{name}"] = (FIXTURE / "flows/faq" / name).read_text(encoding="utf-8")
    files["flows/hello/sample.json"] = {"mode": "go"}
    files["flows/hello/deploy.yaml"] = projects.DEPLOY.replace("answer", "joined")
    files["flows/hello/answer.py"] = None
    project = projects.make(root, files)
    return resolve_image.build_image(project, configuration.load_flow(project, "hello"))


def message(running: Running, body: Any, **headers: str) -> tuple[int, Any]:
    response = running.post(body, **headers)
    if "event-stream" in response.headers["content-type"]:
        return response.status_code, response.text
    answer = response.json()
    if isinstance(answer, dict):
        answer.get("error", {}).pop("request_id", None)
    return response.status_code, answer


@pytest.mark.parametrize("body", REQUESTS, ids=json.dumps)
def test_a_dag_with_every_node_feature(maze: tuple[Running, Running], body: Any) -> None:
    quick, recorded = maze
    assert message(quick, body) == message(recorded, body)


def test_an_output_that_json_cannot_carry(maze: tuple[Running, Running]) -> None:
    for running in maze:
        status, answer = message(running, {"mode": "unfit"})
        assert (status, answer["error"]["code"]) == (500, "FlowFailed")


def test_the_dag_with_every_node_feature_answers(maze: tuple[Running, Running]) -> None:
    assert message(maze[0], {"mode": "go"}) == (
        200,
        {
            "first": "3",
            "quoted": "{'a': 1}",
            "attribute": "go",
            "untouched": "go",
            "joined": "gogo-gogo-1.5-7",
            "skipped": "go",
            "defaulted": "go go",
            "nothing": "go go",
            "pieces": "go",
        },
    )


def test_a_generator_streams(maze: tuple[Running, Running]) -> None:
    quick, recorded = maze
    answer = message(quick, {"mode": "go"}, Accept="text/event-stream")
    assert answer == message(recorded, {"mode": "go"}, Accept="text/event-stream")
    assert answer[1].endswith('data: {"pieces": "g"}\n\ndata: {"pieces": "o"}\n\n')


def test_async_nodes(tmp_path: Path, start: Start) -> None:
    image = _built(tmp_path, "async_nodes")
    quick, recorded = start(image), start(image, SERVE_SHORTCUTS="false")
    for mode in ("a", "raise"):
        assert message(quick, {"mode": mode}) == message(recorded, {"mode": mode})
    assert message(quick, {"mode": "a"}) == (200, {"joined": "aaa"})


@pytest.mark.parametrize("name", ["chat", "extract", "rewrite", "triage"])
def test_requests_to_models_and_results_equal_those_of_promptflow(
    name: str, start: Start, variables: dict[str, str], model: ModelServer
) -> None:
    made = built(name)[1]
    sample = json.loads((FIXTURE / f"flows/{name}/sample.json").read_text(encoding="utf-8"))
    answers, asked = [], []
    for mode in ("true", "false"):
        running = start(made, **variables, SERVE_SHORTCUTS=mode)
        model.requests.clear()
        answers.append([message(running, sample), message(running, sample)])
        asked.append(list(model.requests))
    assert answers[0] == answers[1]
    assert answers[0][0] == answers[0][1]
    assert asked[0] == asked[1]
    assert asked[0]
