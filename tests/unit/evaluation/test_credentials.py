"""The credentials of an evaluation's container, and their masking."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from deploy.azure import clouds
from deploy.core.errors import DeployError
from deploy.evaluation import credentials
from deploy.evaluation.credentials import COGNITIVE_SERVICES, Credentials
from tests.environments import CONNECTIONS, flow
from tests.fake_secrets import LETTERS, text

KEY = text(LETTERS, 30)
MODEL = {"open_ai_connection": CONNECTIONS["open_ai_connection"]}
ENDPOINT = {"AZURE_OPENAI_ENDPOINT": "https://contoso.openai.azure.com"}
TOKEN = "a.token.of-somebody"


def gather(environ: Mapping[str, str], given: Mapping[str, Any] = MODEL) -> Credentials:
    return credentials.gather_credentials(flow("hello", **given), environ, {}, frozenset())


def test_a_key_is_used_and_hidden() -> None:
    found = gather({**ENDPOINT, "AZURE_OPENAI_API_KEY": KEY, "OTHER": "not asked for"})
    assert found.secrets == (KEY,)
    assert found.connections["open_ai_connection"]["value"]["api_key"] == KEY
    assert found.variables == {**ENDPOINT, "AZURE_OPENAI_API_KEY": KEY}
    assert found.tokens == {}
    assert KEY not in repr(found)
    assert json.loads(found.to_json())["secrets"] == [KEY]


def test_without_a_key_the_signed_in_user_provides_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def token(_: object, scope: str) -> str:
        asked.append(scope)
        return TOKEN

    monkeypatch.setattr(clouds, "get_token", token)
    found = gather(ENDPOINT)
    assert asked == ["https://cognitiveservices.azure.com/.default"]
    assert found.tokens[COGNITIVE_SERVICES][0] == TOKEN
    assert found.secrets == (TOKEN,)
    assert found.connections["open_ai_connection"]["value"]["auth_mode"] == "meid_token"


def test_no_signed_in_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def token(*_: object) -> str:
        raise DeployError("Azure", "no Azure log-in works: no identity is signed in", "`az login`")

    monkeypatch.setattr(clouds, "get_token", token)
    with pytest.raises(DeployError) as caught:
        gather(ENDPOINT)
    assert str(caught.value) == (
        "hello/deploy.yaml: connection open_ai_connection uses an identity, but no Azure log-in works: "
        "no identity is signed in\n  → `az login`; or set AZURE_OPENAI_API_KEY"
    )


def test_all_missing_variables_are_reported_at_once() -> None:
    with pytest.raises(DeployError) as caught:
        gather({}, CONNECTIONS)
    assert str(caught.value) == (
        "hello/deploy.yaml: connection open_ai_connection: set AZURE_OPENAI_ENDPOINT (its api_base)\n"
        "  → set it, or add it to .env\n"
        "hello/deploy.yaml: connection search: set SERP_API_KEY (its api_key)\n"
        "  → set it, or add it to .env"
    )


def test_a_proxy_goes_along_and_this_machine_is_reached_without_it() -> None:
    password = text(LETTERS, 12)
    proxy = f"http://me:{password}@proxy.contoso.example:3128"
    found = gather({"https_proxy": proxy, "NO_PROXY": "contoso.example"}, {})
    past = "contoso.example,host.docker.internal,127.0.0.1"
    assert found.variables == {
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "NO_PROXY": past,
        "no_proxy": past,
    }
    assert found.secrets == (password,)


def test_variables_of_an_environment_go_along_and_its_secrets_are_hidden() -> None:
    given = {"LIMIT": "3", "MY_TOKEN": KEY}
    found = credentials.gather_credentials(flow("hello"), {}, given, frozenset({"MY_TOKEN"}))
    assert found.variables == given
    assert found.secrets == (KEY,)
