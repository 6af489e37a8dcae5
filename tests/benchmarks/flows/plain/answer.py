from promptflow.core import tool


@tool
def answer(words: list) -> str:
    return f"{len(words)} words, the longest is {max(words, key=len)}"
