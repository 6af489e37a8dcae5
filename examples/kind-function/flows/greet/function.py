"""A flow that answers without a model."""

from __future__ import annotations

from typing import TypedDict


class Answer(TypedDict):
    answer: str
    words: int


def flow(question: str, polite: bool = False) -> Answer:
    """Return an answer to `question`, and its number of words."""
    if not question:
        raise ValueError("nothing was asked")
    text = f"You asked: {question}"
    return {"answer": f"{text} Thank you." if polite else text, "words": len(question.split())}
