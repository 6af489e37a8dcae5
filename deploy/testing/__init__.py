"""Tests that a target of another distribution can run: the contract of all targets."""
