from promptflow.core import tool


@tool
def defaulted(other: str, text: str = "by default") -> str:
    return f"{text} {other}"
