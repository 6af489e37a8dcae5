"""Tests are no job of the CI system that they may run in: what they print is compared whole."""

from __future__ import annotations

import os

OF_CI = ("GITHUB_", "ACTIONS_ID_TOKEN_", "TF_BUILD", "SYSTEM_", "AZURESUBSCRIPTION_")

for name in [name for name in os.environ if name.startswith(OF_CI)]:
    del os.environ[name]
