"""Compare the category of each ticket with the one that people gave it."""

from typing import TypedDict


class Grade(TypedDict):
    """Of one ticket."""

    right: bool
    missed_incident: bool


class CategoryMatch:
    """Grades each row, and then all of them."""

    def __call__(self, category: str, truth: str) -> Grade:
        """Return whether the category is right, and whether an incident was taken for less."""
        return {
            "right": category == truth,
            "missed_incident": truth == "incident" and category != truth,
        }

    def __aggregate__(self, grades: list) -> dict:
        """Return the share of right categories, and the number of missed incidents."""
        return {
            "accuracy": sum(grade["right"] for grade in grades) / len(grades),
            "missed_incidents": sum(grade["missed_incident"] for grade in grades),
        }
