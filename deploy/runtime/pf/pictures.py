"""Make pictures of what a request holds, without reaching for what the client names.

promptflow reads the file that `{"data:image/png;path": …}` names, wherever it is, and asks any host
that `…;url` names. Each way from an input to a picture ends in one of four functions of its
`ImageProcessor`: an image input as text or mapping, a mapping inside of a list or object (in
promptflow's form and in OpenAI's), and a text of a prompty. They are replaced here. Files that the
flow itself names as defaults of its inputs are read as before.
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

from ..scorer import FlowFailed
from . import picture_texts, picture_urls
from .failures import InputRefused
from .picture_urls import Hosts

# In one request. Models take 50 at most.
PICTURES = 100
# Python looks at each part of a path, and each time at all of those before.
_LONGEST_PATH = 4096
_CODE = "InvalidImageInput"
_KINDS = (ValueType.IMAGE, ValueType.LIST, ValueType.OBJECT)


@dataclass
class _Budget:
    """What the request at hand may still load."""

    pictures: int = PICTURES
    seconds: float = picture_urls.SECONDS
    bytes: int = picture_urls.BYTES


# An object, so that helper threads share it.
_budget: contextvars.ContextVar[_Budget] = contextvars.ContextVar("pictures")


def allow() -> None:
    """Give the request at hand its pictures."""
    _budget.set(_Budget())


def install(folder: Path, defaults: Any, hosts: Hosts) -> None:
    """Let promptflow read only the files of `folder` that `defaults` name, and ask only `hosts`."""
    files = {(folder / text).resolve() for text in _texts(defaults) if len(text) < _LONGEST_PATH}
    read: Callable[..., Any] = ImageProcessor.create_image_from_file
    is_url: Callable[[str], bool] = ImageProcessor.is_url

    def from_file(f: str | Path, mime_type: str | None = None) -> Any:
        _count()
        if len(str(f)) >= _LONGEST_PATH or "\0" in str(f) or Path(f).resolve() not in files:
            raise _refused("a picture cannot be sent by path: send it as base64")
        return read(f, mime_type)

    def from_url(url: str, mime_type: str | None = None) -> Any:
        _count()
        return Image(_fetched(url, hosts), mime_type=mime_type, source_url=url)

    def from_base64(base64_str: str, mime_type: str | None = None) -> Any:
        _count()
        try:
            content = base64.b64decode(base64_str.rpartition(",")[2])
        except (binascii.Error, ValueError):
            raise _refused("the picture is not valid base64") from None
        return Image(content, mime_type=mime_type)

    ImageProcessor.create_image_from_file = staticmethod(from_file)
    ImageProcessor.create_image_from_url = staticmethod(from_url)
    ImageProcessor.create_image_from_base64 = staticmethod(from_base64)
    ImageProcessor.is_base64 = staticmethod(picture_texts.is_base64)
    # `urllib` keeps the last addresses that it has split: of 10 MB each, they fill the memory.
    ImageProcessor.is_url = staticmethod(
        lambda value: len(value) <= picture_urls.LONGEST and is_url(value)
    )
    _replace_resolving(_flow.Prompty)


def may_hold(inputs: Mapping[str, Any]) -> bool:
    """Tell whether inputs of a DAG flow may hold pictures, which take time to load."""
    return any(spec.type in _KINDS for spec in inputs.values())


def load(processor: Any, inputs: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with the pictures in them loaded by promptflow's `processor`.

    Raises `InputRefused`, which names the input.
    """
    loaded = dict(values)
    for name, spec in inputs.items():
        if name not in loaded or spec.type not in _KINDS:
            continue
        try:
            loaded = processor.load_multimedia_data({name: spec}, loaded)
        except LoadMultimediaDataError as error:
            raise _named(name, error.__cause__) from None
    return loaded


def of_prompty(text: str, folder: Path) -> Any:
    """Return the picture that a text of a prompty stands for, or the text."""
    picture = picture_texts.parse(text)
    if picture is None:
        return text
    if picture.kind == "path":
        return ImageProcessor.create_image_from_file(folder / picture.content, picture.mime_type)
    if picture.kind == "url":
        return ImageProcessor.create_image_from_url(picture.content, picture.mime_type)
    return ImageProcessor.create_image_from_base64(picture.content, picture.mime_type)


def _replace_resolving(prompty: Any) -> None:
    """Let a prompty load its pictures by `of_prompty`, and errors name the input."""
    ordinary = prompty._resolve_inputs
    # It calls this for each text.
    _flow._get_image_obj = lambda text, working_dir: text

    def resolve(self: Any, input_values: Any) -> dict[str, Any]:
        values: dict[str, Any] = ordinary(self, input_values)
        for name, value in values.items():
            if isinstance(value, str):
                try:
                    values[name] = of_prompty(value, self.path.parent)
                except InputRefused as error:
                    raise _named(name, error) from None
        return values

    prompty._resolve_inputs = resolve


def _named(name: str, error: BaseException | None) -> Exception:
    """Return the error for the client, without texts of other services."""
    if isinstance(error, FlowFailed):
        return error
    text = str(error) if isinstance(error, InputRefused) else "the picture cannot be read"
    return InputRefused(f"input {name}: {text}", (name,), _CODE)


def _count() -> None:
    budget = _budget.get(None)
    if budget is None:
        return
    budget.pictures -= 1
    if budget.pictures < 0:
        raise _refused(f"the request has more than {PICTURES} pictures")


def _fetched(url: Any, hosts: Hosts) -> bytes:
    if _on_event_loop():
        # A prompty that asynchronous code calls: every other request would wait for the host.
        raise _refused("a picture by URL cannot be used by asynchronous code")
    budget = _budget.get(None) or _Budget()
    begun = time.monotonic()
    try:
        content = picture_urls.fetch(str(url), hosts, budget.seconds, budget.bytes)
    except picture_urls.Refused as refusal:
        raise _refused(str(refusal)) from None
    except picture_urls.Busy:
        message = "too many pictures are being fetched"
        raise FlowFailed(message, "", 503, "PicturesBusy", "1") from None
    finally:
        budget.seconds -= time.monotonic() - begun
    budget.bytes -= len(content)
    return content


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _refused(text: str) -> InputRefused:
    return InputRefused(text, code=_CODE)


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
