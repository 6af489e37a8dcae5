from meeting import MEETING
from promptflow.core import tool


@tool
def side(text: str, which: str) -> str:
    MEETING.wait(timeout=20)
    if text == which:
        raise ValueError(text)
    return text * 2
