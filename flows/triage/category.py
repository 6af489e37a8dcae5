"""Read the category out of what the model said."""

import re

from promptflow.core import tool

CATEGORIES = ("question", "incident", "other")


@tool
def category(answer: str) -> str:
    """Return the first category that `answer` names, or `other` where it names none."""
    words = re.findall(r"[a-z]+", answer.lower())
    return next((word for word in words if word in CATEGORIES), "other")
