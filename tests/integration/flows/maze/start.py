from promptflow.core import tool


class Odd(Exception):
    """An error of the flow's own."""


@tool
def start(mode, numbers, options, loud):
    if mode == "raise":
        raise Odd("the key is sk-123")
    if mode == "exit":
        raise SystemExit(3)
    text = mode.upper() if loud else mode
    found = {"text": text, "go": mode == "go", "words": str(options), "list": [{"name": str(sum(numbers))}]}
    if mode == "short":
        found["list"] = []
    if mode == "keyless":
        del found["words"]
    return found
