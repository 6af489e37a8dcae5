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
def look(cover, pictures: list, notes: object) -> dict:
    return {"cover": seen(cover), "pictures": seen(pictures), "notes": seen(notes)}
