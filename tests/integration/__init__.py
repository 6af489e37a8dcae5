"""Tests with real images and containers."""

import pytest

# Before these modules are imported, so that failed assertions show their values.
pytest.register_assert_rewrite("deploy.testing.scripted_project", "deploy.testing.target_contract")
