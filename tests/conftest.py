"""Run as outside of CI: tests compare the whole output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import kinds
from deploy.config import target_registry
from tests import installed_extensions

OF_CI = ("GITHUB_", "ACTIONS_ID_TOKEN_", "TF_BUILD", "SYSTEM_", "AZURESUBSCRIPTION_")

# Files of the fixture project are data (`projects.FIXTURE`).
collect_ignore = ["fixtures"]

for name in [name for name in os.environ if name.startswith(OF_CI)]:
    del os.environ[name]

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture(autouse=True)
def own_extensions_only(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hide a team's extensions from the tool's tests; the tests of its flows need them."""
    if not installed_extensions.INSTALLED or FLOWS in request.path.parents:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        installed_extensions.hide(patch)
        yield
    target_registry.clear_cache()
    kinds.clear_cache()
