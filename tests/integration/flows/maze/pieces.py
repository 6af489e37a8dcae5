from collections.abc import Iterator

from promptflow.core import tool


@tool
def pieces(text: str) -> Iterator[str]:
    for letter in text:
        yield letter
