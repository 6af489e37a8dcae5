"""Your flows in their images: every flow of flows/ answers its sample and its cases as expected.

Cases are in flows/‹flow›/tests/cases.yaml (docs/testing.md). This file is yours: add tests as you need.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deploy.config.cases import Case
from deploy.core.errors import DeployError
from tests.flow_service import Service


def test_answer(flow: str, case: Case | DeployError, serve: Callable[[str], Service]) -> None:
    try:
        if isinstance(case, DeployError):
            raise case
        problems = serve(flow).find_problems(case)
    except DeployError as error:
        pytest.fail(str(error), pytrace=False)
    if problems:
        pytest.fail(f"{case.source}: {'; '.join(problems)}", pytrace=False)
