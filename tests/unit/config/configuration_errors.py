"""The error of a project's configuration."""

from __future__ import annotations

import pytest

from deploy.config import configuration
from deploy.core.errors import DeployError


def message(
    project: configuration.Project, environment: str = "local", flow: str | None = None
) -> str:
    with pytest.raises(DeployError) as caught:
        configuration.load_specs(project, environment, flow)
    return str(caught.value)
