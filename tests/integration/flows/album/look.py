from promptflow.contracts.multimedia import Image
from promptflow.core import tool


def seen(value):
    if isinstance(value, Image):
        return {"type": value._mime_type, "bytes": len(value)}
    if isinstance(value, list):
        return [seen(item) for item in value]
    if isinstance(value, dict):
        return {key: seen(item) for key, item in value.items()}
    return value


@tool
def look(
    cover, pictures: list, notes: object, title: str, page: int, price: float, shared: bool
) -> dict:
    # One flow that has an input of every type: hostile requests try each.
    assert isinstance(title, str) and isinstance(page, int) and isinstance(shared, bool)
    assert isinstance(price, (int, float))
    return {"cover": seen(cover), "pictures": seen(pictures), "notes": seen(notes)}
