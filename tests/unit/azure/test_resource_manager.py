"""Requests to Azure Resource Manager: authentication, retries, error messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from deploy.azure import clouds, errors
from deploy.azure.errors import AzureError
from deploy.azure.resource_manager import ResourceManager
from deploy.core import http_requests
from deploy.core.errors import DeployError
from deploy.core.http_requests import TransientError

FORBIDDEN = (
    "The client '3c4d' with object id '3c4d' does not have authorization to perform action "
    "'Microsoft.Web/sites/write' over scope '/x'."
)


def explain(said: AzureError, what: str) -> DeployError:
    return DeployError(
        f"Azure, {what}", f"{said.code}: {errors.describe_missing_permission(said.text)}"
    )


@pytest.fixture
def client() -> ResourceManager:
    return ResourceManager(clouds.resolve_cloud("public"), explain)


def test_every_attempt_brings_a_token_of_its_own(
    client: ResourceManager, monkeypatch: pytest.MonkeyPatch
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
            raise TransientError("Azure", "it answered 503")
        answer = requests.Response()
        answer.status_code, answer._content = 200, b"{}"
        return answer

    monkeypatch.setattr(clouds, "get_token", token)
    monkeypatch.setattr(http_requests, "send", send)
    monkeypatch.setattr(http_requests, "BACK_OFF", 0.0)
    client.get("/x", "2024-10-01")
    client.get_operation("https://management.azure.com/operation")
    assert sent == ["Bearer token-0", "Bearer token-1", "Bearer token-2"]


def test_a_list_is_read_page_by_page(
    client: ResourceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [b'{"value": [{"n": 1}], "nextLink": "https://next/page"}', b'{"value": [{"n": 2}]}']
    asked: list[str] = []

    def send(http: object, method: str, url: str, *_: object, **__: Any) -> requests.Response:
        asked.append(url)
        answer = requests.Response()
        answer.status_code, answer._content = 200, pages[len(asked) - 1]
        return answer

    monkeypatch.setattr(clouds, "get_token", lambda *_: "token")
    monkeypatch.setattr(http_requests, "send", send)
    assert client.list_all("/deployments", "1") == [{"n": 1}, {"n": 2}]
    assert asked[1] == "https://next/page"


def answer(status: int, body: object) -> requests.Response:
    made = requests.Response()
    made.status_code, made.reason = status, "Reason"
    made._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return made


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, {"error": {"code": "ExpiredAuthenticationToken"}}, "→ `az login`"),
        (404, {"error": {"code": "SubscriptionNotFound", "message": "No s."}}, "No s\n  → correct"),
        (
            403,
            {"error": {"code": "AuthorizationFailed", "message": FORBIDDEN}},
            "Azure, x: AuthorizationFailed: the identity 3c4d may not do Microsoft.Web/sites/write",
        ),
        (500, b"<html>", "500: that is not allowed: Reason"),
        (400, [], "400: that is not allowed: Reason"),
        (400, {"error": "text"}, "400: that is not allowed: Reason"),
        (400, {"Code": "A", "Message": "one"}, "A: that is not allowed: one"),
        (
            400,
            {"error": {"code": "A", "message": "one", "details": [{"message": "two"}, 3]}},
            "A: that is not allowed: one two",
        ),
    ],
)
def test_a_refusal_is_a_readable_error(
    status: int,
    body: object,
    expected: str,
    client: ResourceManager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clouds, "get_token", lambda *_: "token")
    monkeypatch.setattr(http_requests, "send", lambda *_, **__: answer(status, body))
    with pytest.raises(DeployError) as caught:
        client.get("/providers/x", "1")
    assert expected in str(caught.value)


def test_the_end_of_an_operation() -> None:
    assert errors.parse_operation({"status": "Failed"}) == AzureError("Failed", "")
    message = {"error": {"code": "OutOfQuota", "message": "No."}}
    assert errors.parse_operation(message) == AzureError("OutOfQuota", "No.")
