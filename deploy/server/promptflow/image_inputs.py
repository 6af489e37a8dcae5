"""Load the images of a request without access to files or hosts that the client chooses.

promptflow reads any file that `{"data:image/png;path": …}` names, and sends a request to any host
that `…;url` names. An image can be an image input (text or mapping), a mapping in a list or object
(in promptflow's form or OpenAI's), or a text of a prompty. All of them end in one of four functions
of promptflow's `ImageProcessor`, which are replaced here. Files that the flow itself names as
defaults of its inputs are still read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextvars
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptflow._utils._errors import LoadMultimediaDataError
from promptflow._utils.multimedia_utils import ImageProcessor
from promptflow.contracts.multimedia import Image
from promptflow.contracts.tool import ValueType
from promptflow.core import _flow

from ..scorer import FlowError
from . import image_texts, image_urls
from .failures import InputRejected
from .image_urls import AllowedHosts

# Images in one request. Models accept at most 50.
MAX_PICTURES = 100
# A limit, because Python processes each part of a path together with all parts before it.
_MAX_PATH_LENGTH = 4096
_CODE = "InvalidImageInput"
_PICTURE_TYPES = (ValueType.IMAGE, ValueType.LIST, ValueType.OBJECT)


@dataclass
class _Budget:
    """The remaining budget of the current request for images."""

    pictures: int = MAX_PICTURES
    # Seconds and bytes for images by URL.
    seconds: float = image_urls.MAX_SECONDS
    bytes: int = image_urls.MAX_BYTES


# A mutable object, so that helper threads share it.
_budget: contextvars.ContextVar[_Budget] = contextvars.ContextVar("pictures")


def set_budget() -> None:
    """Start the budget of the current request."""
    _budget.set(_Budget())


def install(folder: Path, defaults: Any, hosts: AllowedHosts) -> None:
    """Limit promptflow to the files of `folder` that `defaults` name, and to URLs of `hosts`."""
    files = {(folder / text).resolve() for text in _texts(defaults) if len(text) < _MAX_PATH_LENGTH}
    read: Callable[..., Any] = ImageProcessor.create_image_from_file
    is_url: Callable[[str], bool] = ImageProcessor.is_url

    def from_file(f: str | Path, mime_type: str | None = None) -> Any:
        _count_picture()
        if len(str(f)) >= _MAX_PATH_LENGTH or "\0" in str(f) or Path(f).resolve() not in files:
            raise _create_rejection("a picture cannot be sent by path: send it as base64")
        return read(f, mime_type)

    def from_url(url: str, mime_type: str | None = None) -> Any:
        _count_picture()
        return Image(_fetch_picture(url, hosts), mime_type=mime_type, source_url=url)

    def from_base64(base64_str: str, mime_type: str | None = None) -> Any:
        _count_picture()
        try:
            content = base64.b64decode(base64_str.rpartition(",")[2])
        except (binascii.Error, ValueError):
            raise _create_rejection("the picture is not valid base64") from None
        return Image(content, mime_type=mime_type)

    ImageProcessor.create_image_from_file = staticmethod(from_file)
    ImageProcessor.create_image_from_url = staticmethod(from_url)
    ImageProcessor.create_image_from_base64 = staticmethod(from_base64)
    ImageProcessor.is_base64 = staticmethod(image_texts.is_base64)
    # `urllib` caches the last URLs that it has split: with 10 MB each, they fill the memory.
    ImageProcessor.is_url = staticmethod(
        lambda value: len(value) <= image_urls.MAX_URL_LENGTH and is_url(value)
    )
    _patch_prompty(_flow.Prompty)


def can_hold_pictures(inputs: Mapping[str, Any]) -> bool:
    """Return whether inputs of a DAG flow can contain images, which take time to load."""
    return any(spec.type in _PICTURE_TYPES for spec in inputs.values())


def load_pictures(
    processor: Any, inputs: Mapping[str, Any], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `values` with the images in them loaded by promptflow's `processor`.

    Raises `InputRejected`, which names the input.
    """
    loaded = dict(values)
    for name, spec in inputs.items():
        if name not in loaded or spec.type not in _PICTURE_TYPES:
            continue
        try:
            loaded = processor.load_multimedia_data({name: spec}, loaded)
        except LoadMultimediaDataError as error:
            raise _add_input_name(name, error.__cause__) from None
    return loaded


def load_prompty_picture(text: str, folder: Path) -> Any:
    """Return the image that a text of a prompty represents, or the text itself."""
    picture = image_texts.parse(text)
    if picture is None:
        return text
    if picture.source == "path":
        return ImageProcessor.create_image_from_file(folder / picture.content, picture.mime_type)
    if picture.source == "url":
        return ImageProcessor.create_image_from_url(picture.content, picture.mime_type)
    return ImageProcessor.create_image_from_base64(picture.content, picture.mime_type)


def _patch_prompty(prompty: Any) -> None:
    """Make prompties load images with `load_prompty_picture`, and make errors name the input."""
    ordinary = prompty._resolve_inputs
    # promptflow calls this for each text.
    _flow._get_image_obj = lambda text, working_dir: text

    def resolve(self: Any, input_values: Any) -> dict[str, Any]:
        values: dict[str, Any] = ordinary(self, input_values)
        for name, value in values.items():
            if isinstance(value, str):
                try:
                    values[name] = load_prompty_picture(value, self.path.parent)
                except InputRejected as error:
                    raise _add_input_name(name, error) from None
        return values

    prompty._resolve_inputs = resolve


def _add_input_name(name: str, error: BaseException | None) -> Exception:
    """Return the error for the client: it names the input and quotes no other service."""
    if isinstance(error, FlowError):
        return error
    text = str(error) if isinstance(error, InputRejected) else "the picture cannot be read"
    return InputRejected(f"input {name}: {text}", (name,), _CODE)


def _count_picture() -> None:
    budget = _budget.get(None)
    if budget is None:
        return
    budget.pictures -= 1
    if budget.pictures < 0:
        raise _create_rejection(f"the request has more than {MAX_PICTURES} pictures")


def _fetch_picture(url: Any, hosts: AllowedHosts) -> bytes:
    if _is_on_event_loop():
        # Asynchronous code calls a prompty. All other requests would wait for the host.
        raise _create_rejection("a picture by URL cannot be used by asynchronous code")
    budget = _budget.get(None) or _Budget()
    begun = time.monotonic()
    try:
        content = image_urls.fetch(str(url), hosts, budget.seconds, budget.bytes)
    except image_urls.FetchRejected as refusal:
        raise _create_rejection(str(refusal)) from None
    except image_urls.FetchBusy:
        message = "too many pictures are being fetched"
        raise FlowError(message, "", 503, "PicturesBusy", "1") from None
    finally:
        budget.seconds -= time.monotonic() - begun
    budget.bytes -= len(content)
    return content


def _is_on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _create_rejection(text: str) -> InputRejected:
    return InputRejected(text, code=_CODE)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        # In a prompty, type and path are one text: "data:image/png;path:logo.png".
        yield from (value, value.partition("path:")[2].strip())
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
