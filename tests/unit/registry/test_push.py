"""Pushes as real engines report them: recorded from Docker with each image store, and from podman."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import docker
import pytest
import requests

from deploy.registry import push
from deploy.registry.push import PushProgress

RECORDINGS = Path(__file__).parents[2] / "recordings/engines"
ENGINES = ("classic", "containerd", "podman")


def events(name: str) -> list[dict[str, Any]]:
    lines = (RECORDINGS / f"{name}.json").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def taken(name: str) -> PushProgress:
    layers = PushProgress()
    for event in events(name):
        assert not push.read_error(event), event
        layers.record(event)
    return layers


@pytest.mark.parametrize("recording", ["push", "push-repeat", "push-mounted"])
@pytest.mark.parametrize("engine", ENGINES)
def test_each_layer_is_pushed_or_present(engine: str, recording: str) -> None:
    found = taken(f"{engine}-{recording}")
    layers = {str(event["id"]) for event in events(f"{engine}-{recording}") if event.get("id")}
    assert {*found.pushed, *found.present} == layers
    assert str(found).startswith(f"{len(layers)} layers done, ")


@pytest.mark.parametrize("engine", ["classic", "containerd"])
def test_layers_are_counted_once(engine: str) -> None:
    first, again = taken(f"{engine}-push"), taken(f"{engine}-push-repeat")
    assert first.pushed
    assert not first.present
    assert not again.pushed
    assert len(again.present) >= len(first.pushed) - 1


@pytest.mark.parametrize("engine", ["classic", "containerd"])
def test_a_refusal_in_the_stream_is_an_error(engine: str) -> None:
    for code, words in (("401", push.ACCESS_DENIED), ("429", None)):
        errors = [push.read_error(event) for event in events(f"{engine}-push-{code}")]
        (text,) = [error for error in errors if error]
        assert bool(push.ACCESS_DENIED.search(text)) is (words is not None), text


@pytest.mark.parametrize(("code", "refused"), [("401", True), ("429", False)])
def test_podman_refuses_before_the_stream(code: str, refused: bool) -> None:
    """The SDK knows no such answer: it ends with a KeyError of its own."""
    (recorded,) = events(f"podman-push-{code}")
    response = requests.Response()
    response.status_code = recorded["status_code"]
    response._content = recorded["body"].encode()
    response.raw = Mock(version=11)
    client = docker.DockerClient(base_url="tcp://127.0.0.1:1", version="1.41")
    client.api.post = Mock(return_value=response)  # type: ignore[method-assign]
    client.api._auth_configs = Mock(is_empty=True)  # type: ignore[attr-defined]
    registry = Mock()
    registry.login.credentials().to_auth_config.return_value = {}
    found = [
        push.read_error(e) for e in push._stream_events(client, cast(Any, registry), "a/b", "1")
    ]
    assert len(found) == 1
    assert found[0] == json.loads(recorded["body"])["error"]
    assert bool(push.ACCESS_DENIED.search(found[0])) is refused
