"""A machine that is made of values."""

from __future__ import annotations

from deploy.core.errors import DeployError

NO_ENGINE = DeployError("Docker", "no engine answers at …", "start it")
