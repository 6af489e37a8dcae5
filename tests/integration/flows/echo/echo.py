import json


def echo(
    thing: dict,
    words: list,
    text: str = "",
    number: int = 1,
    ratio: float = 1.5,
    loud: bool = False,
) -> str:
    return json.dumps([thing, words])
