"""Bring the branches together: exactly one of them ran, or none."""

from typing import Optional

from promptflow.core import tool


@tool
def result(category: str, reply: Optional[str] = None, escalation: Optional[dict] = None) -> dict:
    """Return one shape of answer, whichever branch ran."""
    if escalation:
        text = f"We have passed this on to {escalation['queue']}: {escalation['subject']}"
    else:
        text = reply or "Thank you, we have read your message."
    return {"category": category, "reply": text, "escalated": escalation is not None}
