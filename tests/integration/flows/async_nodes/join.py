from promptflow.core import tool

@tool
async def join(left: str, right: str) -> str:
    return left + right
