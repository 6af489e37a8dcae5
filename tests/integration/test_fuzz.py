"""Requests made up from the OpenAPI document: each is answered, and as the document says.

The examples are the same in every run. A failure shows a curl line that repeats it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration import input_flows
from tests.integration.conftest import Start
from tests.integration.running_container import Running

Serving = Callable[[str], Running]
FLOWS = ["faq", "triage", "extract", "rewrite", "echo"]
# Of these the document allows requests that the flow cannot use: a history that its prompt cannot
# read, a text that is no picture.
LENIENT = ["chat", "album", "caption"]
EXAMPLES = 30
TAKEN = [positive_data_acceptance, not_a_server_error]
CONFORMANCE = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# What a body has that shows the insides of the server.
INSIDES = ("Traceback", 'File "', "site-packages")
REPEATABLE = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def fuzzed(
    serving: Serving,
    start: Start,
    variables: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Serving:
    """Return the running container of a flow of the repository, or of one for tests."""

    @cache
    def of(name: str) -> Running:
        if name not in input_flows.SAMPLES:
            return serving(name)
        return start(input_flows.build(tmp_path_factory.mktemp(name), name), **variables)

    return of


@pytest.mark.parametrize("flow", FLOWS)
def test_valid_requests_are_accepted(flow: str, fuzzed: Serving) -> None:
    statuses = _fuzz(fuzzed(flow), GenerationMode.POSITIVE, [*CONFORMANCE, *TAKEN])
    # It has met the flow: what is made up is not all of one kind by mistake.
    assert statuses == {200}


@pytest.mark.parametrize("flow", LENIENT)
def test_valid_requests_are_accepted_or_rejected_by_the_flow(flow: str, fuzzed: Serving) -> None:
    statuses = _fuzz(fuzzed(flow), GenerationMode.POSITIVE, CONFORMANCE)
    assert statuses <= {200, 400, 500}
    assert fuzzed(flow).get("/health").status_code == 200


@pytest.mark.parametrize("flow", [*FLOWS, *LENIENT])
def test_invalid_requests_are_no_server_error(flow: str, fuzzed: Serving) -> None:
    assert 400 in _fuzz(fuzzed(flow), GenerationMode.NEGATIVE, [*CONFORMANCE, not_a_server_error])


@pytest.mark.parametrize("path", ["/health", "/version"])
def test_endpoints_without_inputs_answer_as_documented(path: str, serving: Serving) -> None:
    url = serving("faq").url
    operation = schemathesis.openapi.from_url(f"{url}/swagger.json")[path]["GET"]
    response = operation.Case().call(base_url=url)
    assert response.status_code == 200
    operation.validate_response(response)


def _fuzz(running: Running, mode: Any, checks: list[Any]) -> set[int]:
    """Send requests that the flow's document allows, or forbids; return the statuses."""
    document = schemathesis.openapi.from_url(f"{running.url}/swagger.json")
    operation = document["/score"]["POST"]
    statuses = set()

    @REPEATABLE
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: Case[Any]) -> None:
        response = case.call(base_url=running.url, timeout=30)
        statuses.add(response.status_code)
        case.validate_response(response, checks=checks)
        assert not [text for text in INSIDES if text in response.text]

    each()
    return statuses
