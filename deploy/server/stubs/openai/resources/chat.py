"""Stubs of the chat classes; see `openai.resources`."""

from . import AsyncCompletions, Completions

__all__ = ["AsyncCompletions", "Completions"]
