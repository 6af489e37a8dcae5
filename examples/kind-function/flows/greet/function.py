"""What the example kind of flow serves."""

from __future__ import annotations

from typing import TypedDict


class Answer(TypedDict):
    answer: str
    words: int


def flow(question: str, polite: bool = False) -> Answer:
    """Answer a question without a model."""
    if not question:
        raise ValueError("nothing was asked")
    text = f"You asked: {question}"
    return {"answer": f"{text} Thank you." if polite else text, "words": len(question.split())}
