"""Errors of azure-ai-ml in tests."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import (
    HttpResponseError,
)

from tests.integration.azureml_client import Sdk


def refused(sdk: Sdk, name: str = "blue", **rest: Any) -> HttpResponseError:
    """Deploy, and return why that failed."""
    with pytest.raises(HttpResponseError) as caught:
        sdk.deploy(name, **rest)
    return caught.value


def code(error: HttpResponseError) -> str:
    assert error.error is not None
    return str(error.error.code)
