"""No request may name a file of the container as a picture.

promptflow reads the file that `{"data:image/png;path": …}` names, wherever it is, and gives it to
the flow: a client could have the flow's code, or a mounted key, sent to the model or back. Files
that the flow itself names as defaults of its inputs are read as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from promptflow._utils._errors import InvalidImageInput
from promptflow._utils.multimedia_utils import ImageProcessor


def install(folder: Path, defaults: Any) -> None:
    """Let promptflow read those files below `folder` alone that `defaults` name."""
    allowed = {(folder / text).resolve() for text in _texts(defaults) if len(text) < 1000}
    read: Callable[..., Any] = ImageProcessor.create_image_from_file

    def create(f: str | Path, mime_type: str | None = None) -> Any:
        if Path(f).resolve() not in allowed:
            raise InvalidImageInput(
                message_format="a picture cannot be sent by path: send it as base64, or as a url"
            )
        return read(f, mime_type)

    ImageProcessor.create_image_from_file = staticmethod(create)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        # A prompty writes both in one text: "data:image/png;path:logo.png".
        yield from (value, value.partition("path:")[2].strip())
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
