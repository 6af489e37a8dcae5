from types import SimpleNamespace

from promptflow.core import tool


@tool
def thing(mode: str):
    return SimpleNamespace(name=object() if mode == "unfit" else mode)
