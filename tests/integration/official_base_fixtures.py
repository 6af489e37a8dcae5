"""Fixtures of base images as users have them: official ones, in a registry without TLS on a free port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.sandbox.registry import RegistryProcess
from tests import official_base


@pytest.fixture(scope="session")
def base_registry(
    registry_program: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryProcess]:
    """A registry of base images; nothing is in it yet."""
    with RegistryProcess(tmp_path_factory.mktemp("base-registry")) as registry:
        yield registry


@pytest.fixture(scope="session")
def official_python(base_registry: RegistryProcess) -> str:
    """The stand-in for python:3.11-slim-bookworm, by digest of its index."""
    return official_base.push(base_registry.name)


@pytest.fixture(scope="session")
def distroless_python(base_registry: RegistryProcess) -> str:
    """The stand-in for a distroless image of Python, by digest of its index."""
    return official_base.push_distroless(base_registry.name)
