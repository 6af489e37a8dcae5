from promptflow.core import tool


@tool
def nothing(text, other: str) -> str:
    return f"{text} {other}"
