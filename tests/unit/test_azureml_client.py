"""Plain requests to Azure: who asks, and what is asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from deploy import cloud
from deploy.model import Flow, ImageSettings, Spec
from deploy.registry import wire
from deploy.registry.wire import Transient
from deploy.targets.azureml.client import Client
from deploy.targets.azureml.settings import Place, Settings

FLOW = Flow("faq", Path("faq"), "dag", "f", Path("s"), "string", {}, {}, ImageSettings(), {})


@pytest.fixture
def client() -> Client:
    place = Place(subscription="s", resource_group="rg", workspace="mlw")
    settings = Settings(target="azureml")
    return Client(Spec("p", FLOW, "dev", "azureml", settings, place, {}, frozenset()))


def test_every_attempt_brings_a_token_of_its_own(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was kept would end in the middle of a long operation."""
    issued: list[str] = []
    sent: list[str] = []

    def token(*_: object) -> str:
        issued.append(f"token-{len(issued)}")
        return issued[-1]

    def send(*_: object, headers: dict[str, str], **__: Any) -> requests.Response:
        sent.append(headers["Authorization"])
        if len(sent) == 1:
            raise Transient("Azure", "it answered 503")
        answer = requests.Response()
        answer.status_code, answer._content = 200, b"{}"
        return answer

    monkeypatch.setattr(cloud, "token", token)
    monkeypatch.setattr(wire, "send", send)
    monkeypatch.setattr(wire, "BACK_OFF", 0.0)
    client.get("/x", "2024-10-01")
    client.operation("https://management.azure.com/operation")
    assert sent == ["Bearer token-0", "Bearer token-1", "Bearer token-2"]


def test_a_list_is_read_page_by_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [b'{"value": [{"n": 1}], "nextLink": "https://next/page"}', b'{"value": [{"n": 2}]}']
    asked: list[str] = []

    def send(http: object, method: str, url: str, *_: object, **__: Any) -> requests.Response:
        asked.append(url)
        answer = requests.Response()
        answer.status_code, answer._content = 200, pages[len(asked) - 1]
        return answer

    monkeypatch.setattr(cloud, "token", lambda *_: "token")
    monkeypatch.setattr(wire, "send", send)
    assert client.every("/deployments", "1") == [{"n": 1}, {"n": 2}]
    assert asked[1] == "https://next/page"
