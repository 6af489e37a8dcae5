from promptflow.core import tool


@tool
def join(left: str, right: str, factor: float, fixed: int) -> str:
    return f"{left}-{right}-{factor}-{fixed}"
