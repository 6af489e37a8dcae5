from promptflow.core import tool


@tool
def total(texts: list) -> int:
    return len(texts)
