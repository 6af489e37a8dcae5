"""Requests made up from the OpenAPI document: each is answered, and as the document says.

The examples are the same in every run. A failure shows a curl line that repeats it.
"""

from __future__ import annotations

from collections.abc import Callable
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

from tests.integration.running import Running

Serving = Callable[[str], Running]
# A history that the document of chat allows may still be one that the flow's prompt cannot read, so
# chat is not among them.
FLOWS = ["faq", "triage", "extract", "rewrite"]
EXAMPLES = 30
CONFORMANCE = [
    not_a_server_error,
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


@pytest.mark.parametrize("flow", FLOWS)
def test_what_the_document_allows_is_taken(flow: str, serving: Serving) -> None:
    _fuzz(serving(flow), GenerationMode.POSITIVE)


@pytest.mark.parametrize("flow", FLOWS)
def test_what_the_document_forbids_is_no_failure(flow: str, serving: Serving) -> None:
    _fuzz(serving(flow), GenerationMode.NEGATIVE)


@pytest.mark.parametrize("path", ["/health", "/version"])
def test_what_takes_no_input_answers_as_documented(path: str, serving: Serving) -> None:
    url = serving("faq").url
    operation = schemathesis.openapi.from_url(f"{url}/swagger.json")[path]["GET"]
    response = operation.Case().call(base_url=url)
    assert response.status_code == 200
    operation.validate_response(response)


def _fuzz(running: Running, mode: Any) -> None:
    """Send the flow's document requests that it allows, or forbids, and check every answer."""
    document = schemathesis.openapi.from_url(f"{running.url}/swagger.json")
    operation = document["/score"]["POST"]
    wanted = [*CONFORMANCE]
    if mode is GenerationMode.POSITIVE:
        wanted.append(positive_data_acceptance)
    seen = set()

    @REPEATABLE
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: Case[Any]) -> None:
        response = case.call(base_url=running.url, timeout=30)
        seen.add(response.status_code)
        case.validate_response(response, checks=wanted)
        assert not [text for text in INSIDES if text in response.text]

    each()
    # It has met the flow, or its refusals: what is made up is not all of one kind by mistake.
    assert seen == {200} if mode is GenerationMode.POSITIVE else 400 in seen
