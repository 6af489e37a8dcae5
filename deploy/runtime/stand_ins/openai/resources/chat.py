"""See `openai.resources`."""

from . import AsyncCompletions, Completions

__all__ = ["AsyncCompletions", "Completions"]
