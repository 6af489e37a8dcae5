"""Connections from declarations and environment variables, for every type that promptflow-core knows."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.server.connections import CONNECTION_TYPES, is_variable_name, list_variables, resolve

WITH_IDENTITY = [name for name, kind in CONNECTION_TYPES.items() if kind.identity]
WITH_KEY = [name for name, kind in CONNECTION_TYPES.items() if kind.secret]


def declaration(name: str) -> dict[str, Any]:
    """Every variable that the type can have, named by its field."""
    kind = CONNECTION_TYPES[name]
    fields = [*kind.endpoint, *([kind.secret] if kind.secret else [])]
    return {"type": name, **{field: f"MY_{field.upper()}" for field in fields}}


def environ(name: str) -> dict[str, str]:
    return {v: f"value of {v}" for k, v in declaration(name).items() if k != "type"}


@pytest.mark.parametrize("name", WITH_KEY)
def test_key(name: str) -> None:
    result = resolve({"it": declaration(name)}, environ(name))
    assert result.problems == ()
    connection = result.connections["it"]
    assert connection["type"] == CONNECTION_TYPES[name].class_name
    assert connection["value"]["api_key"] == "value of MY_API_KEY"
    assert connection["secret_keys"] == ["api_key"]
    assert result.secrets == ("value of MY_API_KEY",)
    for field in CONNECTION_TYPES[name].endpoint:
        assert connection["value"][field] == f"value of MY_{field.upper()}"


@pytest.mark.parametrize("name", WITH_KEY)
def test_missing_key_is_named(name: str) -> None:
    given = {k: v for k, v in environ(name).items() if k != "MY_API_KEY"}
    (problem,) = resolve({"it": declaration(name)}, given).problems
    assert problem.startswith("connection it: set MY_API_KEY (its api_key)")
    assert ("managed identity" in problem) == CONNECTION_TYPES[name].identity


@pytest.mark.parametrize(
    "name",
    [n for n in WITH_KEY if set(CONNECTION_TYPES[n].endpoint) - set(CONNECTION_TYPES[n].optional)],
)
def test_missing_endpoint_is_named(name: str) -> None:
    field = CONNECTION_TYPES[name].endpoint[0]
    given = {k: v for k, v in environ(name).items() if k != f"MY_{field.upper()}"}
    problems = resolve({"it": declaration(name)}, given).problems
    assert problems == (f"connection it: set MY_{field.upper()} (its {field})",)


@pytest.mark.parametrize("name", WITH_IDENTITY)
@pytest.mark.parametrize(
    "sign", ["IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_FEDERATED_TOKEN_FILE"]
)
def test_an_identity_replaces_an_unset_key(name: str, sign: str) -> None:
    given = {k: v for k, v in environ(name).items() if k != "MY_API_KEY"}
    result = resolve({"it": declaration(name)}, {**given, sign: "something"})
    assert result.problems == ()
    assert result.connections["it"]["value"]["auth_mode"] == "meid_token"
    assert "api_key" not in result.connections["it"]["value"]
    assert result.secrets == ()


@pytest.mark.parametrize("name", WITH_IDENTITY)
def test_a_key_that_is_set_wins_over_an_identity(name: str) -> None:
    result = resolve({"it": declaration(name)}, {**environ(name), "IDENTITY_ENDPOINT": "x"})
    assert result.connections["it"]["value"]["api_key"] == "value of MY_API_KEY"


@pytest.mark.parametrize("name", WITH_IDENTITY)
def test_declared_identity_needs_no_sign_and_ignores_the_key(name: str) -> None:
    declared = {**declaration(name), "auth": "managed_identity"}
    result = resolve({"it": declared}, environ(name))
    assert result.connections["it"]["value"]["auth_mode"] == "meid_token"
    assert result.secrets == ()


def test_declared_key_is_not_replaced_by_an_identity() -> None:
    declared = {**declaration("azure_open_ai"), "auth": "key"}
    given = {"MY_API_BASE": "https://a", "IDENTITY_ENDPOINT": "x"}
    (problem,) = resolve({"it": declared}, given).problems
    assert "set MY_API_KEY" in problem


def test_optional_fields_may_be_absent() -> None:
    result = resolve(
        {"it": {"type": "open_ai", "api_key": "K", "base_url": "URL"}}, {"K": "secret"}
    )
    assert result.problems == ()
    assert "base_url" not in result.connections["it"]["value"]


def test_plain_field_is_a_value_or_a_variable() -> None:
    declared = {
        "type": "azure_open_ai",
        "api_base": "B",
        "api_key": "K",
        "api_version": "2024-06-01",
    }
    given = {"B": "https://a", "K": "secret", "V": "2025-01-01"}
    value = resolve({"it": declared}, given).connections["it"]["value"]
    assert value["api_version"] == "2024-06-01"
    value = resolve({"it": {**declared, "api_version": "V"}}, given).connections["it"]["value"]
    assert value["api_version"] == "2025-01-01"


def test_custom_connection() -> None:
    declared = {"type": "custom", "configs": {"url": "URL"}, "secrets": {"token": "TOKEN"}}
    result = resolve({"it": declared}, {"URL": "https://a", "TOKEN": "secret"})
    connection = result.connections["it"]
    assert connection["type"] == "CustomConnection"
    assert connection["value"] == {"url": "https://a", "token": "secret"}
    assert connection["secret_keys"] == ["token"]
    assert result.secrets == ("secret",)


def test_custom_strong_type_names_its_class() -> None:
    declared = {
        "type": "custom",
        "secrets": {"token": "TOKEN"},
        "custom_type": "my_tools.kinds:Mine",
    }
    value = resolve({"it": declared}, {"TOKEN": "secret"}).connections["it"]["value"]
    assert value["promptflow.connection.custom_type"] == "Mine"
    assert value["promptflow.connection.module"] == "my_tools.kinds"


def test_custom_connection_names_all_that_is_missing() -> None:
    declared = {"type": "custom", "configs": {"url": "URL"}, "secrets": {"token": "TOKEN"}}
    assert resolve({"it": declared}, {}).problems == (
        "connection it: set URL (its url)",
        "connection it: set TOKEN (its token)",
    )


def test_empty_variable_counts_as_not_set() -> None:
    declared = declaration("azure_content_safety")
    given = {**environ("azure_content_safety"), "MY_API_KEY": ""}
    assert resolve({"it": declared}, given).problems == (
        "connection it: set MY_API_KEY (its api_key)",
    )


def test_variables_are_classified_as_secret_or_plain() -> None:
    assert list_variables(declaration("azure_open_ai")) == {
        "MY_API_BASE": False,
        "MY_RESOURCE_ID": False,
        "MY_API_KEY": True,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AZURE_OPENAI_API_KEY", True),
        ("K", True),
        ("A1", True),
        ("azure", False),
        ("1A", False),
        ("A B", False),
        ("2024-06-01", False),
        ("", False),
        ("ÄB", False),
    ],
)
def test_is_variable(text: str, expected: bool) -> None:
    assert is_variable_name(text) is expected
