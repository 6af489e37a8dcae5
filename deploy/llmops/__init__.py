"""Bring a use case of Microsoft's LLMOps template into this repository (docs/from-llmops.md)."""
