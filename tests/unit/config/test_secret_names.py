"""Values and names that are secrets."""

from __future__ import annotations

import pytest

from deploy.config import secret_patterns


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----",
        "sk-proj-abcdefghijklmnopqrstuvwx",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abcdefghijklmnopqrstuvwxyz012345==",
        "https://a.blob.core.windows.net/c?sv=2024&sig=abcdefghijklmnopqrstuvwxyz%3D",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "abc8Q~abcdefghijklmnopqrstuvwxyz0123456789",
        "postgres://user:hunter2@host/db",
        "0123456789abcdef0123456789ABCDEF",
        "aB3" + "x" * 49,
    ],
)
def test_secrets_are_recognised(text: str) -> None:
    assert secret_patterns.recognise_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "AZURE_OPENAI_API_KEY",
        "https://contoso.openai.azure.com/",
        "gpt-4o-mini",
        "ssh://build@host",
        "python@sha256:" + "0123456789abcdef" * 4,
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg",
        "a sentence of ordinary words, which is rather longer than a key would be",
    ],
)
def test_ordinary_values_are_no_secrets(text: str) -> None:
    assert secret_patterns.recognise_secret(text) is None
