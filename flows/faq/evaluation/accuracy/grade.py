"""Grade one answer."""

from promptflow.core import tool


@tool
def grade(answer: str, sources: list, section: str, fact: str) -> dict:
    """Return whether the right section was found, was the best, and the answer has the fact."""
    # Lines of the handbook end anywhere.
    said = " ".join(answer.split()).lower()
    return {
        "found": section in sources,
        "first": sources[:1] == [section],
        "answered": fact.lower() in said,
    }
