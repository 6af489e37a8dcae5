"""A collector of telemetry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import otlp_collector
from tests.otlp_collector import Collector


@pytest.fixture
def collector() -> Iterator[Collector]:
    with otlp_collector.serve() as server:
        yield server
