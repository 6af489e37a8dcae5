"""Credentials of registries as the docker command stores them."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.docker import credentials
from deploy.docker.pull import (
    parse_registry,
)

DIGEST = "sha256:" + "a" * 64


def test_the_registry_of_a_reference() -> None:
    digest = f"python@{DIGEST}"
    assert [
        parse_registry(name) for name in ("python:3.11", "corp/x", digest, "localhost:1/x:2")
    ] == [
        "docker.io",
        "docker.io",
        "docker.io",
        "localhost:1",
    ]


@pytest.fixture
def config(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that writes the docker command's configuration, and perhaps a helper."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def write(text: str, helper: str = "") -> None:
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
        if helper:
            program = tmp_path / "docker-credential-team"
            program.write_text(f"#!/bin/sh\n{helper}\n", encoding="utf-8")
            program.chmod(0o700)

    return write


def test_credentials_of_the_file(config: Any) -> None:
    config('{"auths": {"https://index.docker.io/v1/": {"auth": "YW5uYTpwdw=="}}}')
    found = credentials.resolve_credentials("docker.io")
    assert (found.auth, found.problem) == ({"username": "anna", "password": "pw"}, "")
    assert credentials.resolve_credentials("registry.example").auth == {}


def test_credentials_of_a_helper(config: Any) -> None:
    answer = '{"ServerURL": "x", "Username": "<token>", "Secret": "t"}'
    config('{"credHelpers": {"registry.example": "team"}}', f"echo '{answer}'")
    found = credentials.resolve_credentials("registry.example")
    assert (found.auth, found.problem) == ({"identitytoken": "t"}, "")
    assert credentials.resolve_credentials("docker.io").problem == ""


def test_a_helper_without_credentials_for_the_registry(config: Any) -> None:
    config('{"credsStore": "team"}', "echo credentials not found in native keychain; exit 1")
    assert credentials.resolve_credentials("docker.io") == credentials.DockerCredentials()


@pytest.mark.filterwarnings("error")
def test_a_helper_that_is_missing(config: Any) -> None:
    config('{"credsStore": "desktop", "auths": {"registry.example": {"auth": "YW5uYTpwdw=="}}}')
    problem = "docker-credential-desktop is not on the path"
    assert credentials.resolve_credentials("docker.io") == credentials.DockerCredentials(
        {}, problem
    )
    known = {"username": "anna", "password": "pw"}
    found = credentials.resolve_credentials("registry.example")
    assert found == credentials.DockerCredentials(known, problem)
    assert "pw" not in repr(found)


def test_a_helper_that_fails(config: Any) -> None:
    config('{"credsStore": "team"}', "echo the keychain is locked; exit 1")
    assert (
        credentials.resolve_credentials("docker.io").problem
        == "docker-credential-team fails: the keychain is locked"
    )


def test_a_helper_whose_answer_cannot_be_read(config: Any) -> None:
    config('{"credsStore": "team"}', "echo hunter2hunter2")
    assert (
        credentials.resolve_credentials("docker.io").problem
        == "the answer of docker-credential-team cannot be read"
    )
