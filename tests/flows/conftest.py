"""The tests of your flows need a Docker engine; `--flow` selects flows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from deploy.config import configuration
from tests import flow_service
from tests.flow_service import Service

PROJECT = configuration.open_project(Path(__file__).parents[2])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--flow", action="append", default=[], help="test only this flow")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `flow` and `case` for every case of every flow."""
    if "case" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("flow", default=[])
        metafunc.parametrize(("flow", "case"), flow_service.list_parameters(PROJECT, chosen))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[str], Service]]:
    """Build and run flows by name, each once a session."""
    with contextlib.ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(flow_service.run(PROJECT, name)))
