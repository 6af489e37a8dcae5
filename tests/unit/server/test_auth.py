"""A container's keys: accepted and rejected requests, and invalid keys."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from deploy.server import app, auth, settings
from deploy.server.scorer import StartupError
from deploy.server.settings import Settings
from tests.unit.server.fake_scorers import ABOUT, FakeScorer, echo

FIRST, SECOND = "first-key-of-a-test", "second-key-of-a-test=="


@pytest.fixture
def keyed() -> TestClient:
    application = app.Application(FakeScorer(echo), ABOUT, Settings(keys=(FIRST, SECOND)))
    return TestClient(application, raise_server_exceptions=False)


@pytest.mark.parametrize(
    "header", [f"Bearer {FIRST}", f"bearer {SECOND}", f"BEARER   {FIRST}", f"Bearer {FIRST} "]
)
def test_either_key_is_accepted(header: str, keyed: TestClient) -> None:
    headers = {"Authorization": header}
    assert keyed.post("/score", json={"question": "a"}, headers=headers).status_code == 200
    assert keyed.get("/version", headers=headers).json()["tag"] == "abc123"


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (None, "Bearer"),
        ("", "Bearer"),
        ("Bearer", "Bearer"),
        ("Bearer   ", "Bearer"),
        (f"Basic {FIRST}", "Bearer"),
        (FIRST, "Bearer"),
        (f"Bearer {FIRST[:-1]}", 'Bearer error="invalid_token"'),
        (f"Bearer {FIRST}{SECOND}", 'Bearer error="invalid_token"'),
        (f"Bearer {FIRST}, Bearer {SECOND}", 'Bearer error="invalid_token"'),
        ("Bearer schlüssel", 'Bearer error="invalid_token"'),
    ],
)
@pytest.mark.parametrize("path", ["/score", "/version", "/swagger.json", "/nothing"])
def test_unauthenticated_requests_are_401_except_health(
    path: str, header: str | None, challenge: str, keyed: TestClient
) -> None:
    headers = [] if header is None else [(b"Authorization", header.encode())]
    answer = keyed.request("POST" if path == "/score" else "GET", path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == challenge
    assert answer.json()["error"]["code"] == "Unauthorized"
    assert FIRST not in answer.text
    assert keyed.get("/health", headers=headers).status_code == 200


def test_two_headers_are_none(keyed: TestClient) -> None:
    twice = [("Authorization", f"Bearer {FIRST}"), ("Authorization", "Bearer other")]
    assert keyed.post("/score", json={"question": "a"}, headers=twice).status_code == 401


def test_the_openapi_document_requires_a_key(keyed: TestClient) -> None:
    document = keyed.get("/swagger.json", headers={"Authorization": f"Bearer {FIRST}"}).json()
    assert document["security"] == [{"key": []}]
    assert "401" in document["paths"]["/score"]["post"]["responses"]
    assert document["paths"]["/health"]["get"]["security"] == []


def test_no_variable_no_key() -> None:
    assert auth.read_keys({}) == ()
    assert auth.check_key((), []) == ""


@pytest.mark.parametrize("name", auth.KEY_VARIABLES)
@pytest.mark.parametrize("key", ["", "short", "with a space in it", f"{FIRST}\n", "schlüssel" * 3])
def test_an_invalid_key_setting_allows_no_access(name: str, key: str) -> None:
    with pytest.raises(StartupError) as caught:
        auth.read_keys({name: key})
    assert name in str(caught.value)
    assert not key or key not in str(caught.value)


def test_a_reference_that_was_not_resolved_is_no_key() -> None:
    reference = "@Microsoft.KeyVault(SecretUri=https://kv.vault.azure.net/secrets/key)"
    environ = {"SERVE_SECRETS": "TOKEN", "TOKEN": reference, auth.KEY_VARIABLE: reference}
    with pytest.raises(StartupError) as caught:
        settings.read(environ)
    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == [
        "TOKEN",
        auth.KEY_VARIABLE,
    ]
    assert "Key Vault Secrets User" in str(caught.value)


def test_keys_are_masked_and_not_shown() -> None:
    environ = {auth.KEY_VARIABLE: FIRST, auth.SECONDARY_KEY_VARIABLE: SECOND}
    assert settings.list_secrets(environ) == (FIRST, SECOND)
    assert FIRST not in repr(settings.read(environ))
