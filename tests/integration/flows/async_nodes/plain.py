from promptflow.core import tool

@tool
def plain(mode: str) -> str:
    return mode
