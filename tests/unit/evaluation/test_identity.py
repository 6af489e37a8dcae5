"""The identity inside the container of an evaluation."""

from __future__ import annotations

import pytest
import requests

from deploy.evaluation.container import identity

RESOURCE = "https://cognitiveservices.azure.com"


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    return identity.serve_tokens({RESOURCE: ("the-token", 1900000000)})


def ask(variables: dict[str, str], resource: str, key: str | None = None) -> tuple[int, object]:
    headers = {"X-IDENTITY-HEADER": key or variables["IDENTITY_HEADER"]}
    query = {"api-version": "2019-08-01", "resource": resource}
    answer = requests.get(variables["IDENTITY_ENDPOINT"], query, headers=headers, timeout=10)
    return answer.status_code, answer.json()


def test_the_token_that_was_passed_in(variables: dict[str, str]) -> None:
    assert ask(variables, RESOURCE) == (
        200,
        {
            "access_token": "the-token",
            "expires_on": "1900000000",
            "resource": RESOURCE,
            "token_type": "Bearer",
        },
    )


def test_no_other_token(variables: dict[str, str]) -> None:
    wanted = "https://vault.azure.net"
    assert ask(variables, wanted) == (400, {"message": f"there is no token for {wanted}"})


def test_no_identity_without_the_header(variables: dict[str, str]) -> None:
    assert ask(variables, RESOURCE, "guessed") == (
        401,
        {"message": "the header X-IDENTITY-HEADER is wrong"},
    )
