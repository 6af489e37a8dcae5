"""Importer of use cases of Microsoft's LLMOps template (docs/from-llmops.md)."""
